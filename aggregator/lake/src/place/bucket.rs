//! A bucket of an S3-compatible store: how it is reached, how long it is waited for, and what is wrong when it cannot be
//! used.
//!
//! Endpoint, region and credentials come from where every AWS program looks for them. Commits are put on the condition
//! that nothing lies there yet; a store that does not keep to such conditions would let two writers overwrite each other's
//! commits, so it is tried out at the start, and refused.

mod certain;
mod credentials;
mod fault;

use std::sync::Arc;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use ridealong_engine::deltalake::Path;
use ridealong_engine::deltalake::logstore::object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut,
};
use ridealong_engine::deltalake::logstore::object_store::client::SpawnedReqwestConnector;
use ridealong_engine::deltalake::logstore::object_store::{
    BackoffConfig, ClientConfigKey, Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use certain::CertainStore;
use credentials::Credentials;

pub use fault::BucketError;

const CONNECT_TIMEOUT: &str = "5 seconds";
/// One request with its body, of at most [`certain::PART_BYTES`] when it is sent.
const REQUEST_TIMEOUT: &str = "20 seconds";
/// With the pauses below, one call takes at most 20 s when nothing answers and 6 s when everything is refused.
const RETRIES_MAX: usize = 5;
const RETRYING_MAX: Duration = Duration::from_secs(15);
/// Each with jitter.
const PAUSES: BackoffConfig =
    BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
const REGION_DEFAULT: &str = "us-east-1";

const TRIALS_MAX: u32 = 5;

/// Shows, by being put a second time, that the store keeps to conditions.
const MARK: &str = "_conditional_put";
const MARK_TEXT: &str = "The store refused to put this a second time under If-None-Match.\n";

/// Threads on which all requests run, whoever makes them: a connection that was opened for a job must not wait for the
/// jobs' thread, which gives way to all others, when a query uses it again.
#[derive(Debug)]
struct Network(Option<Runtime>);

impl Network {
    fn start() -> Result<Self, BucketError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("s3").enable_all().build();
        Ok(Self(Some(runtime.map_err(BucketError::Threads)?)))
    }

    fn runtime(&self) -> &Runtime {
        let Some(runtime) = &self.0 else { unreachable!("taken only when dropped") };
        runtime
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // May happen on a runtime's own thread, where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// The store of a bucket, tried out below `prefix`. Blocks; not to be called from a runtime's thread.
pub(super) fn open(url: &Url, prefix: &Path) -> Result<Arc<dyn ObjectStore>, BucketError> {
    let bucket = url.host_str().unwrap_or_default().to_owned();
    let network = Network::start()?;
    let sdk = network.runtime().block_on(surroundings());
    let builder = builder(&bucket, &sdk, &network);
    let endpoint = endpoint(&builder);
    let fail = |source| BucketError::of(&bucket, &endpoint, source);
    let s3 = builder.build().map_err(fail)?;
    if network.runtime().block_on(keeps_to_conditions(&s3, prefix)).map_err(fail)? {
        tracing::info!(%bucket, %endpoint, "bucket opened");
        Ok(Arc::new(CertainStore::new(Arc::new(s3), network)))
    } else {
        Err(BucketError::Unconditional { bucket, endpoint })
    }
}

/// What AWS programs find in environment and profile.
async fn surroundings() -> SdkConfig {
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(REGION_DEFAULT);
    let region = region.region().await;
    let credentials = DefaultCredentialsChain::builder().region(region.clone()).build().await;
    let sdk = aws_config::defaults(BehaviorVersion::latest()).region(region);
    sdk.credentials_provider(SharedCredentialsProvider::new(credentials)).load().await
}

fn builder(bucket: &str, sdk: &SdkConfig, network: &Network) -> AmazonS3Builder {
    let timeout = |key| AmazonS3ConfigKey::Client(key);
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_config(timeout(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
        .with_config(timeout(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
        .with_retry(RetryConfig { backoff: PAUSES, max_retries: RETRIES_MAX, retry_timeout: RETRYING_MAX })
        .with_http_connector(SpawnedReqwestConnector::new(network.runtime().handle().clone()));
    if let Some(region) = sdk.region() {
        builder = builder.with_region(region.as_ref());
    }
    if configured_endpoint(&builder).is_none()
        && let Some(endpoint) = sdk.endpoint_url()
    {
        builder = builder.with_endpoint(endpoint);
    }
    if configured_endpoint(&builder).is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    match sdk.credentials_provider() {
        Some(provider) => builder.with_credentials(Arc::new(Credentials::new(provider))),
        None => builder,
    }
}

fn configured_endpoint(builder: &AmazonS3Builder) -> Option<String> {
    let value = |key| builder.get_config_value(&key);
    value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint))
}

/// As errors name it.
fn endpoint(builder: &AmazonS3Builder) -> String {
    let region = || builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_default();
    configured_endpoint(builder).unwrap_or_else(|| format!("AWS in region {}", region()))
}

/// Puts the mark on the condition that it is not there; the second time, or at the second start, that must fail.
async fn keeps_to_conditions(s3: &AmazonS3, prefix: &Path) -> Result<bool, StoreError> {
    let mark = prefix.clone().join(MARK);
    let mut was_put = false;
    for _ in 0..TRIALS_MAX {
        let put = s3.put_opts(&mark, PutPayload::from_static(MARK_TEXT.as_bytes()), PutOptions::from(PutMode::Create));
        match put.await {
            Ok(_) if was_put => return Ok(false),
            Ok(_) => was_put = true,
            Err(StoreError::AlreadyExists { .. }) if s3.head(&mark).await.is_ok() => return Ok(true),
            // A conflict with nothing: S3 says so to puts of one name at one time.
            Err(StoreError::AlreadyExists { .. }) => tokio::time::sleep(PAUSES.init_backoff).await,
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Generic { store: "S3", source: format!("{mark} can neither be put nor found").into() })
}
