//! One session from start to end: starts the parts in order, shows what they measure, stops them in reverse. Wires
//! everything, contains no logic.

mod live;
mod once;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use url::Url;

use crate::api::{Agent, Aggregator, client};
use crate::arguments::Arguments;
use crate::demo::Demo;
use crate::folder::Folder;
use crate::introduction::Introduction;
use crate::measurement::Observer;
use crate::screen::Screen;
use crate::signals::Signals;
use crate::stack::Stack;
use crate::traffic::{Destination, RunTag, Traffic};

/// For a look whether the service is there.
const LOOK: Duration = Duration::from_secs(1);

/// What a session came to.
struct Outcome {
    holds: bool,
    /// The data and the logs may tell why it does not.
    deserves_a_look: bool,
    /// The last line of standard output, after everything else.
    last_line: Option<String>,
}

impl Outcome {
    fn interrupted(when: &str, screen: &mut Screen) -> Self {
        screen.say(&[when.to_owned()]);
        Self { holds: false, deserves_a_look: false, last_line: None }
    }
}

/// Everything that runs.
struct Session {
    stack: Stack,
    traffic: Option<Traffic>,
    observer: Observer,
    /// Serves until the end.
    _demo: Option<Demo>,
}

/// True when all that was to be shown holds.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut screen = Screen::open().await.context("cannot open the screen")?;
    let folder = Folder::create(arguments.keep).context("cannot make a temporary folder")?;
    let ended = within(&arguments, &folder, &mut screen, &mut signals).await;
    let clean = ended.as_ref().is_ok_and(|outcome| !outcome.deserves_a_look);
    let kept = folder.close(clean).context("cannot remove the temporary folder")?;
    if let Some(path) = kept {
        screen.say(&[format!("data, spool and logs are in {}", path.display())]);
    }
    let outcome = ended?;
    if let Some(line) = outcome.last_line {
        screen.say(&[line]);
    }
    Ok(outcome.holds && !screen.is_gone())
}

/// All but the folder and the last line.
async fn within(arguments: &Arguments, folder: &Folder, screen: &mut Screen, signals: &mut Signals) -> Result<Outcome> {
    let mut session = tokio::select! {
        session = Session::start(arguments, folder, screen) => session?,
        () = signals.next() => return Ok(Outcome::interrupted("interrupted while starting", screen)),
    };
    let shown = match arguments.once {
        true => session.once(arguments.duration(), screen, signals).await,
        false => session.live(screen, signals).await,
    };
    // A second Ctrl-C: dropping what runs kills it.
    tokio::select! {
        stopped = session.stop() => match (shown, stopped) {
            // What ended early is the cause; that it cannot be stopped any more is not worth a word.
            (Err(cause), _) => Err(cause),
            (Ok(_), Err(error)) => Err(error),
            (Ok(outcome), Ok(())) => {
                screen.say(&[String::new(), "agent and aggregator stopped cleanly".to_owned()]);
                Ok(outcome)
            }
        },
        () = signals.next() => bail!("interrupted while stopping; agent and aggregator were killed"),
    }
}

impl Session {
    /// Cancelled, what was started is killed.
    async fn start(arguments: &Arguments, folder: &Folder, screen: &mut Screen) -> Result<Self> {
        let demo = match arguments.upstream {
            None => Some(Demo::start().await.context("cannot start the demo service")?),
            Some(_) => None,
        };
        let (service, upstream) = subject(arguments, demo.as_ref())?;
        let stack = Stack::start(folder, &service, &upstream).await?;
        let client = client().context("cannot set up a client")?;
        let observer = Observer {
            aggregator: Aggregator::new(client.clone(), stack.addresses.aggregator),
            agent: Agent::new(client, stack.addresses.agent_api),
            service,
            tag: RunTag::draw(),
        };
        let introduction = Introduction {
            addresses: stack.addresses,
            service: &observer.service,
            upstream: &upstream,
            is_demo: demo.is_some(),
            is_upstream_there: is_there(&upstream).await,
            folder: folder.path(),
            is_kept: folder.is_kept(),
            is_live: !arguments.once,
        };
        screen.say(&introduction.lines());
        let destination = Destination {
            proxy: format!("http://{}", stack.addresses.proxy),
            agent: observer.agent.clone(),
            tag: observer.tag,
        };
        let traffic = demo.as_ref().map(|_| Traffic::start(&destination, arguments.once));
        let traffic = traffic.transpose().context("cannot start the traffic")?;
        Ok(Self { stack, traffic, observer, _demo: demo })
    }

    /// Cancelled, everything is killed.
    async fn stop(self) -> Result<()> {
        drop(self.traffic);
        Ok(self.stack.stop().await?)
    }

    /// Does the work, unless a program ends early (an error) or somebody wants to end (None).
    async fn unless_ended<T>(
        stack: &mut Stack,
        signals: &mut Signals,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        tokio::select! {
            done = work => done.map(Some),
            ended = stack.ended() => Err(ended.into()),
            () = signals.next() => Ok(None),
        }
    }
}

/// The service's name and where it is.
fn subject(arguments: &Arguments, demo: Option<&Demo>) -> Result<(String, Url)> {
    match (&arguments.upstream, demo) {
        (Some(url), _) => Ok((url.host_str().unwrap_or("service").trim_matches(['[', ']']).to_owned(), url.clone())),
        (None, Some(demo)) => Ok(("demo".to_owned(), Url::parse(&format!("http://{}", demo.address))?)),
        (None, None) => unreachable!("without an upstream there is a demo"),
    }
}

/// Whether something listens at the URL; what has no port is not asked.
async fn is_there(url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return true };
    let connected = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port));
    matches!(tokio::time::timeout(LOOK, connected).await, Ok(Ok(_)))
}
