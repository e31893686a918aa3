//! The real binary, in processes of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use url::Url;

/// How long a process may take to say where it listens.
const START: Duration = Duration::from_mins(1);

/// A process that listens somewhere; killed with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Kept open: what the process prints must go somewhere.
    _stdout: Lines<BufReader<ChildStdout>>,
    url: Url,
}

impl Process {
    /// Starts `reference-server {command}`, and waits until it says on a line with `marker` where it listens.
    pub(crate) async fn start(
        command: &str,
        marker: &str,
        log: &Path,
        settings: &[(&str, String)],
    ) -> Result<Self, String> {
        let failed = |error| format!("reference-server {command} cannot be started: {error}");
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(failed)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_reference-server"))
            .arg(command)
            .env_clear()
            .env("NO_COLOR", "1")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.map_err(failed)? {
                if line.contains(marker)
                    && let Some(at) = line.find("http://")
                {
                    let url = line[at..].split_whitespace().next().unwrap_or_default();
                    let mut url = Url::parse(url).map_err(|error| format!("{line:?}: {error}"))?;
                    url.set_path("");
                    return Ok(url);
                }
            }
            let log = std::fs::read_to_string(log).unwrap_or_default();
            Err(format!("reference-server {command} ended:\n{log}"))
        };
        let url = tokio::time::timeout(START, listening)
            .await
            .map_err(|_| format!("HANG: reference-server {command} does not say where it listens"))??;
        Ok(Self {
            child,
            _stdout: lines,
            url,
        })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// `kill -9`: no destructor runs, nothing is written any more.
    pub(crate) async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| error.to_string())
    }
}

/// A folder that is removed with this value, unless it holds evidence.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("provisioning-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the folder for temporary files can be written to");
        Self { path, keep: false }
    }

    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
