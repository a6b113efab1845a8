//! The command line: a server of the shared types for whoever has the key, and a look at one that runs.
//!
//! Exit codes: 0 for success; 1 where the server could not do it, can't be reached or does not answer; 2 for arguments that make no sense.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Command as Syntax, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use multiproc::{Address, Authkey, BaseManager, Builder, ServerStats, SyncManager};
use nix::sys::signal::{SigSet, Signal};
use tempfile::NamedTempFile;

/// How much longer the end of a server may take than an answer.
const ENDING: Duration = Duration::from_secs(20);

/// Shared objects in a server process, worked on from every other process.
#[derive(Parser)]
#[command(
    name = "multiproc",
    version,
    about,
    long_about = None,
    after_help = "\
EXIT STATUS:
  0 for success; 1 where the server can't do it, can't be reached or does not answer; 2 for arguments that make no sense

EXAMPLES:
  multiproc serve --address unix:/tmp/shared --python       # its second line tells the file with its key
  head -c 32 /dev/urandom > key && chmod 600 key            # or a key that is there before
  multiproc serve --address unix:/tmp/shared --authkey-file key --python
  multiproc stats --address unix:/tmp/shared --authkey-file key
  multiproc shutdown --address unix:/tmp/shared --authkey-file key"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server of all shared types until SIGTERM, SIGINT or a client's shutdown.
    ///
    /// Its first line of output is the address at which clients reach it, printed when they can.
    ///
    /// Without a key it makes a fresh one, which its second line of output tells the file of: for `--authkey-file`, readable by this user only, and removed at the server's end (but not where it is killed by SIGKILL). The key
    /// itself is never printed.
    Serve(Serve),
    /// See whether a server answers, and how fast.
    Ping(Target),
    /// Show what a server has and does: objects, clients, calls a second.
    Stats(Stats),
    /// List the objects of a server, with their references and the beginning of their contents.
    Objects(Objects),
    /// End a server in order, and wait for its end.
    Shutdown(Target),
    /// Print a completion script for a shell.
    Completions {
        /// Which.
        shell: Shell,
    },
}

#[derive(Args)]
struct Serve {
    /// Where to serve: `unix:/path/to/socket`, `unix:@name` (no file), `tcp:host:port` (port 0 for any).
    #[arg(long, value_name = "ADDRESS")]
    address: Address,
    #[command(flatten)]
    key: Key,
    /// Let CPython's clients in; with a version, be like that Python's server where versions differ.
    #[arg(long, value_name = "3.8 … 3.14", num_args = 0..=1, default_missing_value = "", value_parser = python)]
    python: Option<Python>,
}

#[derive(Args)]
struct Stats {
    #[command(flatten)]
    target: Target,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// Over how long the calls are counted.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
}

#[derive(Args)]
struct Objects {
    #[command(flatten)]
    target: Target,
    /// Print a line of JSON for each.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Target {
    /// Where the server is: `unix:/path/to/socket`, `unix:@name` (no file), `tcp:host:port`.
    #[arg(long, value_name = "ADDRESS")]
    address: Address,
    #[command(flatten)]
    key: Key,
    /// How long to wait for a server that does not answer.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
}

/// The key that both sides must know. Only who serves can do without: `syntax`.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Key {
    /// A file whose bytes, all of them, are the key.
    #[arg(long, value_name = "FILE")]
    authkey_file: Option<PathBuf>,
    /// The key in hexadecimal. Other users of the machine can see it.
    #[arg(long, value_name = "HEX")]
    authkey_hex: Option<String>,
    /// The name of an environment variable whose text is the key.
    #[arg(long, value_name = "VARIABLE")]
    authkey_env: Option<String>,
}

/// Which Python a server is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Python {
    minor: Option<u8>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// What the arguments may be.
fn syntax() -> Syntax {
    let key_is_optional = |serve: Syntax| serve.mut_group("Key", |key| key.required(false));
    Cli::command().mut_subcommand("serve", key_is_optional)
}

fn python(text: &str) -> Result<Python, String> {
    if text.is_empty() {
        return Ok(Python { minor: None });
    }
    let minor = text.strip_prefix("3.").and_then(|minor| minor.parse().ok()).filter(|minor| (8..=14).contains(minor));
    minor.map(|minor| Python { minor: Some(minor) }).ok_or_else(|| "known are 3.8 to 3.14".to_owned())
}

/// What a person is told instead of a result; nothing where nobody listens any more.
struct Failure {
    text: Option<String>,
    code: u8,
}

impl Failure {
    fn usage(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), code: 2 }
    }
}

impl From<multiproc::Error> for Failure {
    fn from(error: multiproc::Error) -> Self {
        Self { text: Some(error.to_string()), code: 1 }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // A reader that has seen enough.
            ErrorKind::BrokenPipe => Self { text: None, code: 0 },
            _ => Self { text: Some(error.to_string()), code: 1 },
        }
    }
}

impl Key {
    fn is_missing(&self) -> bool {
        self.authkey_file.is_none() && self.authkey_hex.is_none() && self.authkey_env.is_none()
    }

    fn read(&self) -> Result<Authkey, Failure> {
        let key = match (&self.authkey_file, &self.authkey_hex, &self.authkey_env) {
            (Some(file), ..) => {
                std::fs::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?
            }
            (_, Some(hex), _) => {
                unhex(hex).ok_or_else(|| Failure::usage("--authkey-hex takes pairs of hexadecimal digits"))?
            }
            (.., Some(variable)) => std::env::var_os(variable)
                .ok_or_else(|| Failure::usage(format!("the environment has no variable {variable}")))?
                .into_encoded_bytes(),
            _ => return Err(Failure::usage("a key is needed: --authkey-file, --authkey-hex or --authkey-env")),
        };
        Authkey::try_from(key).map_err(|error| Failure::usage(error.to_string()))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Target {
    /// Connects. A server that says nothing from here on, for as long as it is given and `longer`, is the end of this program.
    fn connect(&self, longer: Duration) -> Result<BaseManager, Failure> {
        let (address, timeout) = (self.address.to_string(), self.timeout);
        std::thread::spawn(move || {
            std::thread::sleep(timeout.saturating_add(longer));
            eprintln!("multiproc: {address} does not answer within {timeout:?}");
            std::process::exit(1);
        });
        Ok(BaseManager::builder().address(&self.address).authkey(self.key.read()?).connect()?)
    }
}

fn serve(serve: &Serve) -> Result<(), Failure> {
    // Blocked before any thread is made, so that one alone gets them.
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGINT);
    ending.thread_block().map_err(std::io::Error::from)?;

    let fresh = serve.key.is_missing().then(fresh_key).transpose()?;
    let key = match &fresh {
        Some((key, _)) => key.clone(),
        None => serve.key.read()?,
    };
    let builder = SyncManager::builder().address(&serve.address).authkey(key);
    let server = allow(builder, serve.python)?.server()?;
    let stop = server.stop_handle();
    std::thread::spawn(move || {
        // Fails only for a set that is none.
        let _ = ending.wait();
        stop.stop();
    });
    let told = print(server.address()).and_then(|()| match &fresh {
        Some((_, file)) => print(file.path().display()),
        None => Ok(()),
    });
    match told {
        // Nobody needs to listen to a server.
        Ok(()) | Err(Failure { text: None, .. }) => Ok(server.serve_forever()?),
        Err(failure) => Err(failure),
    }
}

/// A key that nobody else knows, and the file that it is in for as long as that is held: readable by this user only, as all temporary files are.
fn fresh_key() -> Result<(Authkey, NamedTempFile), Failure> {
    let failed = |error: &dyn Display| Failure { text: Some(format!("making a key: {error}")), code: 1 };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| failed(&error))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file =
        tempfile::Builder::new().prefix("multiproc-").suffix(".key").tempfile().map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    let key = Authkey::try_from(text.into_bytes()).map_err(|error| failed(&error))?;
    Ok((key, file))
}

/// Prints a line.
fn print(line: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

#[cfg(feature = "python")]
fn allow(builder: Builder<SyncManager>, python: Option<Python>) -> Result<Builder<SyncManager>, Failure> {
    Ok(match python {
        None => builder,
        Some(Python { minor: None }) => builder.python(true),
        Some(Python { minor: Some(minor) }) => builder.python(true).python_version(minor),
    })
}

#[cfg(not(feature = "python"))]
fn allow(builder: Builder<SyncManager>, python: Option<Python>) -> Result<Builder<SyncManager>, Failure> {
    match python.map(|python| python.minor) {
        None => Ok(builder),
        Some(_) => Err(Failure::usage(
            "this program was built without Python's protocol; build it with `--features cli,python`",
        )),
    }
}

fn ping(target: &Target) -> Result<(), Failure> {
    let manager = target.connect(Duration::ZERO)?;
    let begin = Instant::now();
    manager.ping()?;
    print(format_args!("{} answers in {:?}", target.address, begin.elapsed()))
}

fn stats(stats: &Stats) -> Result<(), Failure> {
    let manager = stats.target.connect(stats.interval)?;
    let (before, begin) = (manager.stats()?, Instant::now());
    std::thread::sleep(stats.interval);
    let (after, passed) = (manager.stats()?, begin.elapsed().as_secs_f64());
    // The second question is no call of anybody's.
    let rate = after.calls.saturating_sub(before.calls + 1) as f64 / passed;
    let ServerStats { objects, clients, connections, calls, uptime, .. } = after;
    let uptime = uptime.as_secs_f64();
    if stats.json {
        print(format_args!(
            "{{\"objects\":{objects},\"clients\":{clients},\"connections\":{connections},\"calls\":{calls},\
             \"calls_per_second\":{rate:.1},\"uptime_seconds\":{uptime:.1}}}"
        ))
    } else {
        print(format_args!(
            "objects      {objects}\nclients      {clients}\nconnections  {connections}\ncalls        {calls}\n\
             calls/s      {rate:.1}\nup           {uptime:.1} s"
        ))
    }
}

fn objects(objects: &Objects) -> Result<(), Failure> {
    for object in objects.target.connect(Duration::ZERO)?.debug_info()? {
        let references: u64 = object.references.iter().map(|info| info.references).sum();
        if objects.json {
            let (typeid, text) = (json(&object.typeid), json(&object.text));
            let number = object.object;
            print(format_args!(
                "{{\"object\":{number},\"type\":{typeid},\"references\":{references},\"text\":{text}}}"
            ))?;
        } else {
            print(object)?;
        }
    }
    Ok(())
}

/// Text as a string of JSON.
fn json(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            _ if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&syntax().get_matches()).unwrap_or_else(|error| error.exit());
    let done = match &cli.command {
        Command::Serve(arguments) => serve(arguments),
        Command::Ping(target) => ping(target),
        Command::Stats(arguments) => stats(arguments),
        Command::Objects(arguments) => objects(arguments),
        Command::Shutdown(target) => target.connect(ENDING).and_then(|manager| Ok(manager.shutdown()?)),
        Command::Completions { shell } => {
            // A reader that has seen enough is no error, and the generator would panic.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut syntax(), "multiproc", &mut script);
            let _ = std::io::stdout().write_all(&script);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { text, code }) => {
            if let Some(text) = text {
                eprintln!("multiproc: {text}");
            }
            ExitCode::from(code)
        }
    }
}
