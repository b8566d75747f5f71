//! An S3-compatible server on loopback (moto), which keeps conditions on puts. What it holds is in its memory and ends with
//! it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::api::Api;
use crate::package_folder;
use crate::wait::{eventually, free_address};

/// Until it answers: it is Python, and the machine may be busy.
const START: Duration = Duration::from_secs(60);

pub struct Moto {
    _child: Child,
    api: Api,
    address: SocketAddr,
}

impl Moto {
    /// With one bucket. Installs the server first, when it is not there.
    pub async fn start(bucket: &str) -> Result<Self> {
        let address = free_address()?;
        let child = Command::new(program().await?)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start moto")?;
        let moto = Self { _child: child, api: Api::new(format!("http://{address}")), address };
        let made = async || {
            let made = moto.api.send(moto.api.client().put(moto.api.url(&format!("/{bucket}")))).await.ok()?;
            (made.status == 200).then_some(())
        };
        eventually("a bucket in moto", START, made).await;
        Ok(moto)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The keys of a bucket under a prefix, at most a thousand.
    pub async fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let listed = self.api.get(&format!("/{bucket}?list-type=2&prefix={prefix}")).await?.expect(200).text();
        let keys = listed.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        Ok(keys.map(str::to_owned).collect())
    }
}

async fn program() -> Result<PathBuf> {
    let script = package_folder().join("moto/install.sh");
    let output = Command::new(&script).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("cannot run {}", script.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "the S3 server for tests cannot be installed: it needs python3 with venv (Debian: python3-venv), flock, and PyPI; \
         {} said: {}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}
