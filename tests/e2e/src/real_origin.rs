//! Services that people run (nginx, Node, gunicorn, Python's http.server), each of which writes down the requests that
//! it understood. What differs between them is what smuggling lives on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::package_folder;
use crate::wait::{eventually, free_address};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Node,
    Gunicorn,
    HttpServer,
}

pub struct RealOrigin {
    kind: Kind,
    address: SocketAddr,
    folder: TempDir,
    child: Child,
}

/// A line of its log.
#[derive(Clone, Debug, Deserialize)]
pub struct Understood {
    #[serde(default)]
    pub method: String,
    #[serde(default)]
    pub target: String,
    /// Byte by byte as Latin-1.
    #[serde(default)]
    pub body: String,
    /// Whether the body came to its end; unknown where the origin did not look at it.
    pub complete: Option<bool>,
    /// Set when it refused what it got, before its application saw it.
    pub refused: Option<String>,
}

impl RealOrigin {
    pub async fn start(kind: Kind) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ridealong-origin-").tempdir().context("no folder")?;
        let address = free_address()?;
        let mut command = command(kind, address, folder.path())?;
        command.env("ORIGIN_LOG", folder.path().join("log")).env("PYTHONDONTWRITEBYTECODE", "1");
        let errors = std::fs::File::create(folder.path().join("stderr")).context("no file for errors")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).kill_on_drop(true);
        let child = command.spawn().with_context(|| {
            format!("{kind:?} cannot be started: install the Debian packages nginx-light nodejs python3 gunicorn")
        })?;
        let listens = async || TcpStream::connect(address).await.ok();
        eventually(&format!("{kind:?} listens"), START, listens).await;
        Ok(Self { kind, address, folder, child })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order in which they were answered.
    pub fn understood(&self) -> Result<Vec<Understood>> {
        let text = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| parse(line).with_context(|| format!("in the log: {line}"))).collect()
    }
}

/// A master process ends its workers only when it is asked to.
impl Drop for RealOrigin {
    fn drop(&mut self) {
        let Some(id) = self.child.id() else { return };
        let asked = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
        let begun = Instant::now();
        while asked.is_ok() && matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < STOP {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn command(kind: Kind, address: SocketAddr, folder: &Path) -> Result<Command> {
    let (port, log) = (address.port().to_string(), folder.join("log").display().to_string());
    let programs = package_folder().join("origins").display().to_string();
    let mut command = match kind {
        Kind::Nginx => {
            std::fs::write(folder.join("nginx.conf"), nginx(address, folder)).context("cannot configure nginx")?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "error.log"]);
            command
        }
        Kind::Node => {
            let mut command = Command::new("node");
            command.args([&format!("{programs}/node.js"), &port, &log]);
            command
        }
        Kind::HttpServer => {
            let mut command = Command::new("python3");
            command.args([&format!("{programs}/plain.py"), &port, &log]);
            command
        }
        Kind::Gunicorn => {
            let mut command = Command::new("gunicorn");
            command.args(["--bind", &address.to_string(), "--chdir", &programs, "--graceful-timeout", "1"]);
            command.args(["--workers", "1", "--threads", "16", "--keep-alive", "30", "--log-level", "debug"]);
            command.args(["--limit-request-line", "0", "--limit-request-field_size", "0"]);
            command.args(["--logger-class", "application.Logger", "application:application"]);
            command
        }
    };
    command.current_dir(folder);
    Ok(command)
}

/// One process in the foreground. It knows a body only when it passes it on, so it passes everything on to itself.
fn nginx(address: SocketAddr, folder: &Path) -> String {
    let inner = folder.join("inner.sock").display().to_string();
    format!(
        r#"daemon off; master_process off; pid nginx.pid; error_log error.log;
        events {{ worker_connections 1024; }}
        http {{
          log_format understood escape=json
            '{{"method":"$request_method","target":"$request_uri","body":"$request_body","status":$status}}';
          access_log off;
          client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
          scgi_temp_path scgi;
          client_body_buffer_size 1m; client_max_body_size 0; large_client_header_buffers 4 256k;
          keepalive_requests 1000000; keepalive_timeout 30s;
          server {{
            listen {address};
            access_log log understood;
            location / {{ proxy_pass http://unix:{inner}:; }}
          }}
          server {{
            listen unix:{inner};
            location / {{ return 200 "$request_method $request_uri\n"; }}
          }}
        }}"#
    )
}

fn parse(line: &str) -> Result<Understood> {
    #[derive(Deserialize)]
    struct Nginx {
        status: u16,
    }
    let mut understood: Understood = serde_json::from_str(line)?;
    // nginx says how it answered; where it did not pass the request on, it did not wait for the body.
    if let Ok(Nginx { status }) = serde_json::from_str(line) {
        understood.complete = (status < 400).then_some(true);
        if status >= 400 && understood.target.is_empty() {
            understood.refused = Some(format!("status {status}"));
        }
    }
    Ok(understood)
}
