//! Starts the local cloud, once for all journeys of a run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

/// A running local cloud. Its process ends when this one does: its standard input closes.
#[derive(Debug)]
pub struct Cloud {
    endpoint: String,
    _process: Child,
    _stdin: Option<ChildStdin>,
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo put the binaries of this build.
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// The account that copies of snapshots may be shared with.
pub const FORENSICS: &str = "444455556666";

/// The cloud of this test run, started by the first who asks.
pub fn shared() -> &'static Cloud {
    static CLOUD: OnceLock<Cloud> = OnceLock::new();
    CLOUD.get_or_init(|| match Cloud::start() {
        Ok(cloud) => cloud,
        Err(problem) => stop(&problem),
    })
}

impl Cloud {
    fn start() -> Result<Self, String> {
        let python = root().join(".venv/bin/python");
        if !python.exists() {
            return Err("there is no .venv: run the journeys with `make journeys`, which makes it".to_owned());
        }
        let dir = root().join("target/journeys").join(std::process::id().to_string());
        let log = dir.join("cloud.log");
        std::fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        let stderr = std::fs::File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut process = Command::new(python)
            .args(["-m", "cloud", "--until-stdin-closes", "--wait-scale", "0.01", "--timeout-scale", "1"])
            // Journeys end in quarantine, unless they replace the policy: the default asks people.
            .args(["--parameter", r#"Policy={"disposition":"quarantine"}"#])
            .args(["--parameter", &format!("ForensicAccounts={FORENSICS}")])
            .arg("--dir")
            .arg(&dir)
            .arg("--binaries")
            .arg(binaries())
            .arg("--template")
            .arg(root().join("infra/template.yaml"))
            .env("PYTHONPATH", root().join("tests"))
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("cannot start the local cloud: {error}"))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or("the local cloud has no standard output")?;
        // The cloud says `ready ENDPOINT` when it is deployed.
        let endpoint = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ready ").map(str::to_owned))
            .ok_or_else(|| {
                format!("the local cloud did not start; its log:\n{}", std::fs::read_to_string(&log).unwrap_or_default())
            })?;
        Ok(Self { endpoint, _process: process, _stdin: stdin })
    }

    /// The one endpoint of every service.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Asks the cloud's own interface, `/_cordon/…`.
    pub fn ask(&self, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/_cordon/{path}", self.endpoint);
        let answer = match body {
            Some(body) => ureq::post(&url).send_json(body),
            None => ureq::get(&url).call(),
        };
        match answer.and_then(|mut answer| answer.body_mut().with_config().limit(256 << 20).read_json::<Value>()) {
            Ok(value) => value,
            Err(error) => stop(&format!("the local cloud refused {path} ({}): {error}", body.unwrap_or(&json!(null)))),
        }
    }
}

/// Ends the test with `problem`.
///
/// # Panics
/// Always.
pub fn stop(problem: &str) -> ! {
    #[expect(clippy::panic, reason = "a test that cannot go on says why")]
    {
        panic!("{problem}")
    }
}
