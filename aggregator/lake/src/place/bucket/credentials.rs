//! Who asks: credentials from the chain that AWS programs use (environment, profile files, web identity, container,
//! instance), kept until shortly before they end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use ridealong_engine::deltalake::logstore::object_store::aws::AwsCredential;
use ridealong_engine::deltalake::logstore::object_store::{CredentialProvider, Error, Result};
use tokio::sync::Mutex;

/// New ones are asked for so long before the present ones end: a request and its retries outlast neither.
const EARLY: Duration = Duration::from_secs(120);
/// Those that name no end are looked up again after this, as the files they came from may have changed.
const KEPT_MAX: Duration = Duration::from_secs(15 * 60);
/// A chain asks files, then servers on the network.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Credentials {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    credential: Arc<AwsCredential>,
    renew_at: SystemTime,
    ends_at: Option<SystemTime>,
}

impl Credentials {
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, kept: Mutex::new(None) }
    }

    async fn look_up(&self) -> std::result::Result<Kept, Box<dyn std::error::Error + Send + Sync>> {
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, self.provider.provide_credentials()).await;
        let found = found.map_err(|_| format!("no credentials within {LOOKUP_TIMEOUT:?}"))??;
        let ends_at = found.expiry();
        let renew_at = ends_at.and_then(|at| at.checked_sub(EARLY)).unwrap_or_else(|| SystemTime::now() + KEPT_MAX);
        let credential = AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        };
        Ok(Kept { credential: Arc::new(credential), renew_at, ends_at })
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.renew_at) {
            return Ok(Arc::clone(&kept.credential));
        }
        match (self.look_up().await, kept.as_ref()) {
            (Ok(found), _) => Ok(Arc::clone(&kept.insert(found).credential)),
            (Err(error), Some(kept)) if kept.ends_at.is_none_or(|at| now < at) => {
                tracing::warn!(%error, "credentials could not be renewed, the present ones still hold");
                Ok(Arc::clone(&kept.credential))
            }
            (Err(source), _) => Err(Error::Unauthenticated { path: "(no credentials)".into(), source }),
        }
    }
}
