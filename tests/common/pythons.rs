//! The Pythons of this machine: every `python3.8` to `python3.14` on the PATH or under pyenv that starts and is what its name says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// One interpreter.
#[derive(Debug, Clone)]
pub struct Python {
    /// Its second number: 11 of 3.11.
    #[allow(dead_code, reason = "every test binary compiles its own copy and uses a part of it")]
    pub minor: u32,
    /// The program.
    pub program: PathBuf,
}

impl Python {
    /// A command that runs a script of `tests/python`.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        // A directory for sockets that are not the test's would outlive a killed script.
        command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name));
        command.env("PYTHONFAULTHANDLER", "1").env("PYTHONHASHSEED", "0").stdin(Stdio::null());
        command
    }
}

/// All that are found, oldest first. What is missing is told on stderr, past the test harness, which would swallow it.
pub fn pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let (found, missing): (Vec<_>, Vec<_>) =
            (8..=14).map(|minor| (minor, find(minor))).partition(|(_, program)| program.is_some());
        let missing: Vec<_> = missing.iter().map(|(minor, _)| format!("3.{minor}")).collect();
        let told = format!("not tested, as they are not on this machine: Python {}\n", missing.join(", "));
        if !missing.is_empty() {
            let _ = nix::unistd::write(std::io::stderr(), told.as_bytes());
        }
        found.into_iter().filter_map(|(minor, program)| Some(Python { minor, program: program? })).collect()
    })
}

fn find(minor: u32) -> Option<PathBuf> {
    let name = format!("python3.{minor}");
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let roots = [std::env::var_os("PYENV_ROOT").map(PathBuf::from), Some(home.join(".pyenv"))];
    let versions = roots.into_iter().flatten().filter_map(|root| root.join("versions").read_dir().ok()).flatten();
    let managed = versions.flatten().map(|version| version.path().join("bin").join(&name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join(&name));
    // pyenv's shims start whatever version is chosen, or fail.
    managed.chain(on_path).find(|program| program.is_file() && is_version(program, minor))
}

fn is_version(program: &Path, minor: u32) -> bool {
    let code = format!("import sys; sys.exit(sys.version_info[:2] != (3, {minor}))");
    let status = Command::new(program).args(["-c", &code]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
