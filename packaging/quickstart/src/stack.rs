//! Both programs, started and stopped in order: the aggregator is there before the agent and after it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use thiserror::Error;
use url::Url;

use crate::folder::Folder;
use crate::program::{Program, ProgramError};

const AGGREGATOR: &str = "ridealong-aggregator";
const AGENT: &str = "ridealong-agent";

/// The ports that the documentation names, while they are free.
const AGGREGATOR_PORT: u16 = 8600;
const AGENT_API_PORT: u16 = 8601;
const PROXY_PORT: u16 = 8080;

#[derive(Debug, Error)]
pub enum StackError {
    #[error("cannot find this program's own folder")]
    OwnFolder(#[source] std::io::Error),
    #[error("{0} is not there; packaging/quickstart.sh builds it")]
    NotBuilt(PathBuf),
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Where everything listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub aggregator: SocketAddr,
    pub proxy: SocketAddr,
    pub agent_api: SocketAddr,
}

pub struct Stack {
    aggregator: Program,
    agent: Program,
    pub addresses: Addresses,
}

impl Stack {
    /// Cancelled, what was started is killed.
    pub async fn start(folder: &Folder, service: &str, upstream: &Url) -> Result<Self, StackError> {
        let arguments = [
            ["serve".to_owned()].to_vec(),
            flag("data", folder.data().display()),
            flag("listen", free(AGGREGATOR_PORT)),
        ];
        let (aggregator, listening) = start(AGGREGATOR, arguments.concat(), folder).await?;
        let aggregator_address = listening[0];
        let arguments = [
            ["run".to_owned()].to_vec(),
            flag("service", service),
            flag("upstream", upstream.as_str().trim_end_matches('/')),
            flag("aggregator", format!("http://{aggregator_address}")),
            flag("listen", free(PROXY_PORT)),
            flag("api-listen", free(AGENT_API_PORT)),
            flag("spool", folder.spool().display()),
        ];
        let (agent, listening) = start(AGENT, arguments.concat(), folder).await?;
        let addresses = Addresses {
            aggregator: aggregator_address,
            proxy: listening[0],
            agent_api: listening.get(1).copied().unwrap_or(listening[0]),
        };
        Ok(Self { aggregator, agent, addresses })
    }

    /// Returns when either ends without having been asked to. Cancelling it changes nothing.
    pub async fn ended(&mut self) -> ProgramError {
        tokio::select! {
            ended = self.agent.ended() => ended,
            ended = self.aggregator.ended() => ended,
        }
    }

    /// The agent first, which delivers what it has. Both are stopped, whatever becomes of the first.
    pub async fn stop(self) -> Result<(), ProgramError> {
        let agent = self.agent.stop().await;
        let aggregator = self.aggregator.stop().await;
        agent.and(aggregator)
    }
}

async fn start(
    name: &'static str,
    arguments: Vec<String>,
    folder: &Folder,
) -> Result<(Program, Vec<SocketAddr>), StackError> {
    let own = std::env::current_exe().map_err(StackError::OwnFolder)?;
    let program = own.with_file_name(name);
    if !program.is_file() {
        return Err(StackError::NotBuilt(program));
    }
    Ok(Program::start(name, &program, arguments, folder.log(name)).await?)
}

fn flag(name: &str, value: impl ToString) -> Vec<String> {
    vec![format!("--{name}"), value.to_string()]
}

/// The usual port, or 0 for any when somebody has it. A look that shares nothing, because the agent's own listener shares
/// its port with other agents of the same user.
fn free(port: u16) -> SocketAddr {
    let usual = SocketAddr::from(([127, 0, 0, 1], port));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}
