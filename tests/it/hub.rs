//! Finding and downloading models, against a hub on this machine that misbehaves in every way it can.

use crate::parity::fixture;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tunesmith::base::{Control, Explain, Progress, Silent, Unit};
use tunesmith::hub::catalogue::{CATALOGUE, Known, Package, Pinned, list_in};
use tunesmith::hub::download::{get_known, get_with, verify};
use tunesmith::hub::resolve::resolve_in;
use tunesmith::hub::{HubError, Options};

const ID: &str = "tiny/llama";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The object id that git gives a file.
fn git_id(bytes: &[u8]) -> String {
    let hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes);
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// How the hub behaves.
#[derive(Clone, Default)]
struct Behaviour {
    files: BTreeMap<String, Vec<u8>>,
    /// Instead of the listing that fits the files.
    listing: Option<String>,
    /// Status of every answer.
    status: Option<u16>,
    /// The first answer with weights ends after so many bytes.
    cut_after: Option<usize>,
    /// It hangs there instead of hanging up, and at every answer.
    is_hanging: bool,
    is_without_range: bool,
    /// Says this checksum of the weights.
    checksum: Option<String>,
    /// A byte of this file changes on the way.
    damaged: Option<&'static str>,
}

impl Behaviour {
    fn tiny() -> Self {
        let folder = fixture("parity/tiny-llama/model");
        let files = fs::read_dir(folder).unwrap().flatten();
        let files = files.map(|f| (f.file_name().into_string().unwrap(), fs::read(f.path()).unwrap()));
        Self { files: files.collect(), ..Self::default() }
    }

    fn listing(&self) -> String {
        if let Some(text) = &self.listing {
            return text.clone();
        }
        let entry = |(name, bytes): (&String, &Vec<u8>)| {
            let mut entry = serde_json::json!({
                "rfilename": name, "size": bytes.len(), "blobId": git_id(bytes)
            });
            if name.ends_with(".safetensors") {
                let sum = self.checksum.clone().unwrap_or_else(|| sha256(bytes));
                entry["lfs"] = serde_json::json!({ "sha256": sum, "size": bytes.len(), "pointerSize": 134 });
            }
            entry
        };
        let siblings: Vec<_> = self.files.iter().map(entry).collect();
        serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string()
    }
}

/// Path and range of each request.
type Requests = Vec<(String, Option<String>)>;

struct Hub {
    endpoint: String,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Requests>>,
}

impl Hub {
    fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests = Arc::new(Mutex::new(Requests::new()));
        let (b, r) = (behaviour.clone(), requests.clone());
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let (b, r) = (b.clone(), r.clone());
                let answer = move || answer(stream, &b, &r);
                std::thread::Builder::new().spawn(answer).unwrap();
            }
        };
        std::thread::Builder::new().spawn(serve).unwrap();
        Self { endpoint, behaviour, requests }
    }

    fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    fn ranges(&self, of: &str) -> Vec<Option<String>> {
        let all = self.requests.lock().unwrap();
        all.iter().filter(|(path, _)| path.ends_with(of)).map(|(_, range)| range.clone()).collect()
    }
}

fn answer(mut stream: TcpStream, behaviour: &Mutex<Behaviour>, requests: &Mutex<Requests>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap().to_string();
    let headers: Vec<String> = lines.take_while(|l| !l.is_empty()).collect();
    let header = |name: &str| {
        headers
            .iter()
            .find_map(|l| l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v.to_string())
    };
    let range = header("range");
    requests.lock().unwrap().push((path.clone(), range.clone()));
    let mut behaviour = behaviour.lock().unwrap();
    let now = behaviour.clone();
    let (mut status, body) = if path.starts_with("/api/models/") {
        (200, now.listing().into_bytes())
    } else {
        let name = path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/"));
        let found = name.and_then(|n| Some((n, now.files.get(n)?.clone())));
        found.map_or((404, b"none".to_vec()), |(name, mut bytes)| {
            bytes[0] ^= u8::from(now.damaged == Some(name));
            (200, bytes)
        })
    };
    let is_weights = path.ends_with(".safetensors");
    let cut = now.cut_after.filter(|_| is_weights);
    if cut.is_some() && !now.is_hanging {
        behaviour.cut_after = None;
    }
    drop(behaviour);
    status = now.status.unwrap_or(status);
    let from = range.filter(|_| !now.is_without_range && status == 200).map(|r| {
        status = 206;
        r.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
    });
    let rest = &body[from.unwrap_or(0).min(body.len())..];
    let _ =
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    let sent = if now.is_hanging && from.is_some() { 0 } else { cut.unwrap_or(rest.len()).min(rest.len()) };
    let _ = stream.write_all(&rest[..sent]);
    if now.is_hanging && is_weights {
        std::thread::sleep(Duration::from_secs(3));
    }
}

/// An endpoint where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn options(endpoint: &str, home: &TempDir) -> Options {
    Options {
        offline: None,
        endpoint: endpoint.into(),
        token: None,
        hub_cache: home.path().join("hub"),
        models_folder: home.path().join("models"),
        python: home.path().join("no-python").into(),
        connect_timeout: Duration::from_secs(2),
        silence: Duration::from_millis(300),
    }
}

fn get(name: &str, options: &Options) -> Result<PathBuf, HubError> {
    get_with(name, options, &Control::new(), &mut Silent)
}

/// Everything that a person reads of an error.
fn said(error: &HubError) -> String {
    assert!(!error.title().is_empty() && !error.hint().is_empty(), "{error:?}");
    format!("{}: {error}. {}", error.title(), error.hint())
}

fn parts(options: &Options) -> usize {
    let blobs = options.hub_cache.join("models--tiny--llama/blobs");
    fs::read_dir(blobs)
        .unwrap()
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|e| e == "part"))
        .count()
}

fn assert_whole(folder: &Path) {
    for (name, bytes) in Behaviour::tiny().files {
        assert_eq!(fs::read(folder.join(&name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_model_comes_whole_and_only_once() {
    let (hub, home) = (Hub::new(Behaviour::tiny()), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, &home);
    assert!(matches!(resolve_in(ID, &options), Err(HubError::NotDownloaded { .. })));
    let folder = get(ID, &options).unwrap();
    assert_whole(&folder);
    assert_eq!(parts(&options), 0);
    assert_eq!(resolve_in(ID, &options).unwrap(), folder);
    let entry = list_in(&options).into_iter().find(|e| e.name == ID).unwrap();
    assert_eq!((entry.path, entry.num_params), (Some(folder.clone()), 94_528));
    let num_requests = hub.requests.lock().unwrap().len();
    assert_eq!(get(ID, &options).unwrap(), folder);
    assert_eq!(hub.requests.lock().unwrap().len(), num_requests);
}

#[test]
fn damage_on_the_disk_is_found_and_mended() {
    let (hub, home) = (Hub::new(Behaviour::tiny()), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, &home);
    let folder = get(ID, &options).unwrap();
    let weights = folder.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[300_000] ^= 4;
    fs::write(&weights, bytes).unwrap();
    let offline = Options { offline: Some("TUNESMITH_OFFLINE".into()), ..options.clone() };
    assert!(matches!(get(ID, &offline), Err(HubError::Checksum { .. })));
    assert_whole(&get(ID, &options).unwrap());
    assert_eq!(get(ID, &offline).unwrap(), folder);
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let hub = Hub::new(Behaviour { cut_after: Some(100_000), ..Behaviour::tiny() });
    let home = tempfile::tempdir().unwrap();
    assert_whole(&get(ID, &options(&hub.endpoint, &home)).unwrap());
    assert_eq!(hub.ranges("model.safetensors"), [None, Some("bytes=100000-".into())]);
}

#[test]
fn a_server_that_cannot_continue_sends_all_again() {
    let hub = Hub::new(Behaviour { cut_after: Some(100_000), is_without_range: true, ..Behaviour::tiny() });
    let home = tempfile::tempdir().unwrap();
    assert_whole(&get(ID, &options(&hub.endpoint, &home)).unwrap());
}

/// Stops the job when enough has arrived.
struct StopAt(u64, Control);

impl Progress for StopAt {
    fn report(&mut self, _phase: &str, done: u64, _total: Option<u64>, _unit: Unit) {
        if done >= self.0 {
            self.1.stop();
        }
    }
}

#[test]
fn a_stopped_download_is_not_there_and_goes_on_later() {
    let (hub, home) = (Hub::new(Behaviour::tiny()), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, &home);
    let control = Control::new();
    let stopped = get_with(ID, &options, &control, &mut StopAt(50_000, control.clone()));
    assert!(matches!(stopped, Err(HubError::Stopped)), "{stopped:?}");
    assert_eq!(parts(&options), 1);
    assert!(matches!(resolve_in(ID, &options), Err(HubError::NotDownloaded { .. })));
    assert_whole(&get(ID, &options).unwrap());
    let ranges = hub.ranges("model.safetensors");
    assert!(ranges.last().unwrap().is_some(), "{ranges:?}");
}

#[test]
fn damage_on_the_way_is_found_and_leaves_nothing() {
    let hub = Hub::new(Behaviour { checksum: Some("0".repeat(64)), ..Behaviour::tiny() });
    let home = tempfile::tempdir().unwrap();
    let options = options(&hub.endpoint, &home);
    let error = get(ID, &options).unwrap_err();
    assert!(matches!(error, HubError::Checksum { .. }), "{error:?}");
    assert!(said(&error).contains("model.safetensors"));
    assert_eq!(parts(&options), 0);
    assert!(resolve_in(ID, &options).is_err());
    hub.behave(|b| b.checksum = None);
    assert_whole(&get(ID, &options).unwrap());
}

/// The length is no proof: small files have a checksum, too.
#[test]
fn damage_of_a_small_file_is_found() {
    assert_eq!(git_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a", "as git has it");
    for name in ["config.json", "tokenizer_config.json"] {
        let mut behaviour = Behaviour { damaged: Some(name), ..Behaviour::tiny() };
        behaviour.files.entry("tokenizer_config.json".into()).or_insert_with(|| b"{ }".to_vec());
        let (hub, home) = (Hub::new(behaviour), tempfile::tempdir().unwrap());
        let options = options(&hub.endpoint, &home);
        let error = get(ID, &options).unwrap_err();
        assert!(matches!(error, HubError::Checksum { .. }), "{error:?}");
        assert!(said(&error).contains(name), "{error}");
        assert_eq!(parts(&options), 0);
        assert!(resolve_in(ID, &options).is_err());
        hub.behave(|b| b.damaged = None);
        let folder = get(ID, &options).unwrap();
        assert_whole(&folder);
        // And later, on the disk.
        let mut bytes = fs::read(folder.join(name)).unwrap();
        bytes[0] ^= 1;
        fs::write(folder.join(name), bytes).unwrap();
        assert!(said(&verify(&folder, &Control::new(), &mut Silent).unwrap_err()).contains(name));
        assert_whole(&get(ID, &options).unwrap());
    }
}

/// A mirror that knows no checksums: the model comes, and nothing is taken for a checksum that is none.
#[test]
fn a_hub_without_checksums_is_believed() {
    let mut mirror = Behaviour::tiny();
    let entry =
        |(name, bytes): (&String, &Vec<u8>)| serde_json::json!({ "rfilename": name, "size": bytes.len() });
    let siblings: Vec<_> = mirror.files.iter().map(entry).collect();
    mirror.listing = Some(serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string());
    let (hub, home) = (Hub::new(mirror), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, &home);
    assert_whole(&get(ID, &options).unwrap());
    let num_requests = hub.requests.lock().unwrap().len();
    assert_whole(&get(ID, &options).unwrap());
    assert_eq!(hub.requests.lock().unwrap().len(), num_requests);
}

#[test]
fn a_silent_hub_is_given_up() {
    let hub = Hub::new(Behaviour { cut_after: Some(1_000), is_hanging: true, ..Behaviour::tiny() });
    let home = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let error = get(ID, &options(&hub.endpoint, &home)).unwrap_err();
    assert!(matches!(error, HubError::Stalled { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Tests run as root, whom no permission stops: so the words are tested and not the system call.
#[test]
fn a_lack_of_permission_is_not_an_absence() {
    use std::io::{Error, ErrorKind};
    use tunesmith::model::ModelError;
    let path = std::path::Path::new("/srv/models/secret");
    let [denied, absent] = [ErrorKind::PermissionDenied, ErrorKind::NotFound].map(Error::from);
    let text = said(&HubError::of_path(path, &denied));
    assert!(text.contains("permission") && text.contains("secret") && !text.contains("not found"), "{text}");
    assert!(said(&HubError::of_path(path, &absent)).contains("not found"));
    let text = said(&ModelError::of_file(path, &denied).into());
    assert!(text.contains("permission") && !text.contains("config.json"), "{text}");
}

#[test]
fn a_refused_token_is_told_apart_from_none() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::new(Behaviour { status: Some(401), ..Behaviour::tiny() });
    let without = said(&get(ID, &options(&hub.endpoint, &home)).unwrap_err());
    assert!(without.contains("gated") && without.contains("set HF_TOKEN"), "{without}");
    let token = Some("hf_x".to_string());
    let with = said(&get(ID, &Options { token, ..options(&hub.endpoint, &home) }).unwrap_err());
    assert!(
        with.contains("gated") && with.contains("(HF_TOKEN) is valid") && !with.contains("hf_x"),
        "{with}"
    );
}

#[test]
fn refusals_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    for (status, needle) in
        [(404, "spelling"), (401, "HF_TOKEN"), (403, "HF_TOKEN"), (503, "503"), (416, "416")]
    {
        let hub = Hub::new(Behaviour { status: Some(status), ..Behaviour::tiny() });
        let text = said(&get(ID, &options(&hub.endpoint, &home)).unwrap_err());
        assert!(text.contains(needle), "{status}: {text}");
    }
    let error = get(ID, &options(&nobody(), &home)).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    let error = get(ID, &options("no address", &home)).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    let offline = Options { offline: Some("HF_HUB_OFFLINE".into()), ..options(&nobody(), &home) };
    assert!(said(&get(ID, &offline).unwrap_err()).contains("HF_HUB_OFFLINE"));
}

#[test]
fn what_is_not_supported_is_refused_before_its_weights_come() {
    let mut bloom = Behaviour::tiny();
    let config = String::from_utf8(bloom.files["config.json"].clone()).unwrap();
    bloom.files.insert("config.json".into(), config.replace("LlamaFor", "BloomFor").into());
    let (hub, home) = (Hub::new(bloom), tempfile::tempdir().unwrap());
    assert!(said(&get(ID, &options(&hub.endpoint, &home)).unwrap_err()).contains("BloomForCausalLM"));
    assert!(hub.ranges("model.safetensors").is_empty());

    let mut pickled = Behaviour::tiny();
    let weights = pickled.files.remove("model.safetensors").unwrap();
    pickled.files.insert("pytorch_model.bin".into(), weights);
    let hub = Hub::new(pickled);
    let error = get(ID, &options(&hub.endpoint, &home)).unwrap_err();
    assert!(matches!(error, HubError::NoWeights { .. }), "{error:?}");

    let mut without = Behaviour::tiny();
    without.files.remove("config.json");
    let hub = Hub::new(without);
    assert!(said(&get(ID, &options(&hub.endpoint, &home)).unwrap_err()).contains("config.json"));
}

#[test]
fn shards_come_with_their_index() {
    let mut sharded = Behaviour::tiny();
    let weights = sharded.files.remove("model.safetensors").unwrap();
    let names = candle_core::safetensors::load_buffer(&weights, &candle_core::Device::Cpu).unwrap();
    let map: BTreeMap<&String, &str> = names.keys().map(|n| (n, "part-1.safetensors")).collect();
    sharded.files.insert("part-1.safetensors".into(), weights);
    let index = serde_json::json!({ "weight_map": map }).to_string();
    sharded.files.insert("model.safetensors.index.json".into(), index.into());
    let (hub, home) = (Hub::new(sharded.clone()), tempfile::tempdir().unwrap());
    let folder = get(ID, &options(&hub.endpoint, &home)).unwrap();
    assert!(folder.join("part-1.safetensors").exists());

    for place in ["../../../evil.safetensors", "/tmp/evil.safetensors", "absent.safetensors"] {
        let index = serde_json::json!({ "weight_map": { "model.norm.weight": place } }).to_string();
        sharded.files.insert("model.safetensors.index.json".into(), index.into());
        let (hub, home) = (Hub::new(sharded.clone()), tempfile::tempdir().unwrap());
        let error = get(ID, &options(&hub.endpoint, &home)).unwrap_err();
        assert!(matches!(error, HubError::Answer { .. }), "{error:?}");
        assert!(!home.path().join("evil.safetensors").exists());
    }
}

#[test]
fn a_hub_that_lies_writes_nothing_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let one = |name: &str, size: u64, blob: &str| serde_json::json!({ "rfilename": name, "size": size, "blobId": blob });
    let listing = |sha: &str, files: Vec<serde_json::Value>| {
        serde_json::json!({ "sha": sha, "siblings": files }).to_string()
    };
    let size = Behaviour::tiny().files["config.json"].len() as u64;
    for (text, is_kind) in [
        ("<html>".to_string(), "Answer"),
        ("{}".into(), "Answer"),
        (listing("../../../../etc", vec![]), "Answer"),
        (listing(COMMIT, vec![one("config.json", u64::MAX, "a")]), "Answer"),
        (
            listing(COMMIT, vec![one("config.json", size, "../../x"), one("model.safetensors", 1 << 60, "")]),
            "NoSpace",
        ),
    ] {
        let hub = Hub::new(Behaviour { listing: Some(text.clone()), ..Behaviour::tiny() });
        let error = get(ID, &options(&hub.endpoint, &home)).unwrap_err();
        assert!(format!("{error:?}").starts_with(is_kind), "{text}: {error:?}");
    }
    let above: Vec<_> = fs::read_dir(home.path()).unwrap().flatten().map(|f| f.file_name()).collect();
    assert_eq!(above, ["hub"]);
}

#[test]
fn two_downloads_of_one_model_do_not_mix() {
    let (hub, home) = (Hub::new(Behaviour::tiny()), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, &home);
    let folder = options.hub_cache.join("models--tiny--llama");
    fs::create_dir_all(&folder).unwrap();
    let lock = tunesmith::base::storage::FolderLock::try_acquire(&folder).unwrap().unwrap();
    assert!(matches!(get(ID, &options), Err(HubError::Busy { .. })));
    drop(lock);
    get(ID, &options).unwrap();
}

#[test]
fn names_are_resolved_or_the_nearest_is_told() {
    let home = tempfile::tempdir().unwrap();
    let options = options(&nobody(), &home);
    let error = resolve_in("smollm2-135m-instruct", &options).unwrap_err();
    assert!(said(&error).contains("tunesmith model get smollm2-135m-instruct"));
    let error = resolve_in("smollm2-135m-instrct", &options).unwrap_err();
    assert!(said(&error).contains("\"smollm2-135m-instruct\"?"), "{error:?}");
    assert!(said(&resolve_in("zzzz", &options).unwrap_err()).contains("model list"));
    assert!(said(&get("zzzz", &options).unwrap_err()).contains("model list"));
    for path in ["./nowhere", "/no/where", "model.gguf", "~/nothing-here-at-all", "a/b/c"] {
        assert!(matches!(resolve_in(path, &options), Err(HubError::NoSuchPath { .. })), "{path}");
    }
    assert!(
        said(&resolve_in("some-org/some-model", &options).unwrap_err()).contains("get some-org/some-model")
    );
    for odd in ["", " ", "a\u{0}b", "org/../x", "модель"] {
        resolve_in(odd, &options).unwrap_err();
        get(odd, &options).unwrap_err();
    }
    let own = options.models_folder.join("mine");
    fs::create_dir_all(&own).unwrap();
    for entry in fs::read_dir(fixture("parity/tiny-qwen2/model")).unwrap().flatten() {
        fs::copy(entry.path(), own.join(entry.file_name())).unwrap();
    }
    assert_eq!(resolve_in("mine", &options).unwrap(), own);
    assert!(list_in(&options).iter().any(|e| e.name == "mine" && e.about.contains("qwen2")));
    let given = fixture("parity/tiny-llama/model");
    assert_eq!(resolve_in(given.to_str().unwrap(), &options).unwrap(), given);
}

// The package

mod package;
