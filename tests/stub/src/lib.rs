//! An AWS that answers in process: each step's tests run the real SDK clients against it.
//!
//! [`Stub::config`] is a configuration with an HTTP client of ours, so everything above the
//! socket (serialisation, signing, retries, deserialisation) is the production code. It needs
//! neither the `test-util` feature of the SDK, which would compile `aws-sdk-ec2` a second time,
//! nor a port, a thread or a clock.
//!
//! ```
//! use stub::{Answer, Call, Stub};
//!
//! let aws = Stub::new()
//!     .once("ec2:CreateSnapshots", Answer::ec2_error(503, "RequestLimitExceeded", "slow down"))
//!     .on("ec2:CreateSnapshots", Answer::xml("<CreateSnapshotsResponse><snapshotSet/></CreateSnapshotsResponse>"))
//!     .on_fn("ssm:GetParameter", |call: &Call| match call.json()["Name"].as_str() {
//!         Some("/cordon/enabled") => Answer::json(r#"{"Parameter":{"Value":"true"}}"#),
//!         _ => Answer::json_error(400, "ParameterNotFound", "no such parameter"),
//!     });
//! let config = aws.config(); // aws_sdk_ec2::Client::new(&config)
//! # drop(config);
//! assert_eq!(aws.count("ec2:CreateSnapshots"), 0);
//! ```
//!
//! For a call it takes, in this order: the action's queued answers ([`Stub::once`]), its standing
//! answer ([`Stub::on`]), and for S3 objects the memory bucket. A call that nothing answers gets
//! a 400 `NotStubbed`, and the test fails when the [`Stub`] goes out of scope, even if the code
//! under test swallowed the error; a test that wants such a call takes [`Stub::surprises`].

mod answer;
mod multipart;
mod request;
mod s3;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use request::Call;

use answer::Kind;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::byte_stream::ByteStream;
use s3::Buckets;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An AWS with the answers a test gives it and a memory for S3 objects.
#[derive(Debug, Default)]
pub struct Stub {
    cloud: Cloud,
}

impl Stub {
    /// An AWS that answers nothing but S3 object calls, from an empty bucket.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every call of an action that finds no queued answer.
    #[must_use]
    pub fn on(self, action: &str, answer: Answer) -> Self {
        self.set(action, answer);
        self
    }

    /// Queues an answer for one call of an action. Queued answers come first, in order.
    #[must_use]
    pub fn once(self, action: &str, answer: Answer) -> Self {
        self.push(action, answer);
        self
    }

    /// Computes the answer to every call of an action that finds no queued answer. The call is
    /// on record by then; [`Answer::bucket`] lets it through to the memory bucket.
    #[must_use]
    pub fn on_fn(self, action: &str, answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        self.set_fn(action, answer);
        self
    }

    /// Lists of S3 objects and versions come in pages of this size at most.
    #[must_use]
    pub fn page_size(self, entries: usize) -> Self {
        self.cloud.state().buckets.page = Some(entries.max(1));
        self
    }

    /// [`Stub::on`] in the middle of a test: from now on the action is answered like this.
    pub fn set(&self, action: &str, answer: Answer) {
        self.cloud.state().rules.entry(action.to_owned()).or_default().standing = Some(Reply::Fixed(answer));
    }

    /// From now on an answer comes only once whoever else is under way has had a turn, so that what is joined interleaves
    /// call by call. Without, each runs to its end before the next one begins.
    pub fn take_turns(&self) {
        self.cloud.state().turns = true;
    }

    /// [`Stub::on_fn`] in the middle of a test.
    pub fn set_fn(&self, action: &str, answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        self.cloud.state().rules.entry(action.to_owned()).or_default().standing = Some(Reply::Computed(Arc::new(answer)));
    }

    /// [`Stub::once`] in the middle of a test.
    pub fn push(&self, action: &str, answer: Answer) {
        self.cloud.state().rules.entry(action.to_owned()).or_default().queue.push_back(answer);
    }

    /// The configuration of SDK clients whose calls come here. Each call is sent once, so that a test sees the step's own
    /// retries and none of the SDK's.
    pub fn config(&self) -> SdkConfig {
        self.resending(1)
    }

    /// [`Stub::config`] with the SDK sending a call up to `attempts` times, a millisecond apart.
    pub fn resending(&self, attempts: u32) -> SdkConfig {
        let credentials = Credentials::new("AKID", "secret", None, None, "stub");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(Duration::from_millis(1)))
            .http_client(self.http_client())
            .build()
    }

    /// The HTTP client for the SDK's configuration. Any number of clients may share one.
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.cloud.clone())
    }

    /// Every call so far, in order; each attempt of a retried call is one.
    pub fn calls(&self) -> Vec<Call> {
        self.cloud.state().calls.clone()
    }

    /// The calls of one action.
    pub fn calls_of(&self, action: &str) -> Vec<Call> {
        self.cloud.state().calls.iter().filter(|call| call.action == action).cloned().collect()
    }

    /// The actions of the calls so far, in order.
    pub fn actions(&self) -> Vec<String> {
        self.cloud.state().calls.iter().map(|call| call.action.clone()).collect()
    }

    /// How often an action was called.
    pub fn count(&self, action: &str) -> usize {
        self.calls_of(action).len()
    }

    /// The calls that ask for a change: all but `Describe*`, `Get*`, `List*`, `Head*`, `Lookup*` and EC2 dry runs.
    pub fn mutations(&self) -> Vec<Call> {
        self.cloud.state().calls.iter().filter(|call| call.is_mutation()).cloned().collect()
    }

    /// Forgets the calls so far, so that the next phase of a test counts from zero. Answers and objects stay.
    pub fn forget_calls(&self) {
        self.cloud.state().calls.clear();
    }

    /// Actions with queued answers that no call has taken.
    pub fn unused(&self) -> Vec<String> {
        let state = self.cloud.state();
        state.rules.iter().filter(|(_, rule)| !rule.queue.is_empty()).map(|(action, _)| action.clone()).collect()
    }

    /// Takes the messages of the calls that nothing answered: the test expects them, and does not fail for them.
    pub fn surprises(&self) -> Vec<String> {
        std::mem::take(&mut self.cloud.state().surprises)
    }

    /// Fails the test here, rather than when the `Stub` goes out of scope, if a call was not answered.
    ///
    /// # Panics
    /// If a call was not answered, with what to stub.
    #[track_caller]
    pub fn assert_no_surprises(&self) {
        let surprises = self.surprises();
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    }

    /// An object as it is now; with the key in several buckets, in the first by name.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.cloud.state().buckets.object(None, key).map(|(bytes, _)| bytes.clone())
    }

    /// An object of one bucket as it is now.
    pub fn object_in(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.cloud.state().buckets.object(Some(bucket), key).map(|(bytes, _)| bytes.clone())
    }

    /// The headers an object was put with, like `x-amz-object-lock-mode`; names in lower case.
    pub fn object_headers(&self, key: &str) -> Option<BTreeMap<String, String>> {
        self.cloud.state().buckets.object(None, key).map(|(_, headers)| headers.clone())
    }

    /// The keys of all objects that are there now.
    pub fn keys(&self) -> Vec<String> {
        self.cloud.state().buckets.keys()
    }

    /// Puts an object that every bucket has, until a call changes it in one.
    pub fn put_object(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.put_object_in("", key, bytes);
    }

    /// What a program without an SDK gets from a URL, as the holder of a presigned one: the status and the body.
    /// Neither the signature nor its time is checked. The call is on record.
    ///
    /// # Panics
    /// If the URL is none.
    pub fn fetch(&self, method: &str, url: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut request = HttpRequest::new(aws_smithy_types::body::SdkBody::from(body.to_vec()));
        assert!(request.set_method(method).is_ok() && request.set_uri(url).is_ok(), "`{method} {url}` is no request");
        match self.cloud.answer(&Call::new(&request, body.to_vec())) {
            Ok(response) => (response.status().as_u16(), response.body().bytes().unwrap_or_default().to_vec()),
            Err(_) => (0, Vec::new()),
        }
    }

    /// The uploads that were neither completed nor aborted: their keys, in order.
    pub fn open_uploads(&self) -> Vec<String> {
        self.cloud.state().buckets.uploads.keys()
    }

    /// Puts an object into one bucket.
    pub fn put_object_in(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) {
        self.cloud.state().buckets.write(bucket, key, Some(bytes.into()), BTreeMap::new());
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_no_surprises();
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Cloud(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rules: BTreeMap<String, Rule>,
    calls: Vec<Call>,
    answered: usize,
    turns: bool,
    surprises: Vec<String>,
    buckets: Buckets,
}

#[derive(Debug, Default)]
struct Rule {
    queue: VecDeque<Answer>,
    standing: Option<Reply>,
}

#[derive(Clone)]
enum Reply {
    Fixed(Answer),
    Computed(Arc<dyn Fn(&Call) -> Answer + Send + Sync>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(answer) => f.debug_tuple("Fixed").field(answer).finish(),
            Self::Computed(_) => f.write_str("Computed"),
        }
    }
}

impl Cloud {
    /// A test that panicked while it held the lock has failed already; the others go on.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A function, so that nobody holds the lock while others have their turn.
    fn turns(&self) -> bool {
        self.state().turns
    }

    fn answer(&self, call: &Call) -> Result<HttpResponse, ConnectorError> {
        let (reply, request_id) = {
            let mut state = self.state();
            state.calls.push(call.clone());
            state.answered += 1;
            let rule = state.rules.get_mut(&call.action);
            let reply = rule.and_then(|rule| rule.queue.pop_front().map(Reply::Fixed).or_else(|| rule.standing.clone()));
            (reply, format!("stub-{}", state.answered))
        };
        // Not under the lock: the function may well look at the calls.
        let mut answer = match reply {
            Some(Reply::Fixed(answer)) => answer,
            Some(Reply::Computed(compute)) => compute(call),
            None => Answer::bucket(),
        };
        if matches!(answer.kind, Kind::Bucket | Kind::BucketThenLost) {
            let stored = self.state().buckets.answer(call);
            let stored = stored.unwrap_or_else(|| self.not_stubbed(call));
            if matches!(answer.kind, Kind::Bucket) {
                answer = stored;
            }
        }
        answer.send(call.method == "HEAD", &request_id)
    }

    fn not_stubbed(&self, call: &Call) -> Answer {
        let mut state = self.state();
        let Call { action, method, host, path, .. } = call;
        let (example, error): (_, fn(u16, &str, &str) -> Answer) = match action.split_once(':') {
            Some(("s3", _)) => ("Answer::xml(…)", Answer::s3_error),
            Some(("ec2", _)) => ("Answer::xml(…)", Answer::ec2_error),
            _ if call.params.contains_key("Action") => ("Answer::xml(…)", Answer::query_error),
            _ => ("Answer::json(…)", Answer::json_error),
        };
        let stubbed = state.rules.keys().cloned().collect::<Vec<_>>().join(", ");
        let stubbed = if stubbed.is_empty() { "nothing".to_owned() } else { stubbed };
        let used_up = if state.rules.contains_key(action) { " (its queued answers are used up)" } else { "" };
        let message = format!(
            "stub: no answer for {action}{used_up}: {method} {host}{path}. \
             Stub it with `.on(\"{action}\", {example})`. Stubbed so far: {stubbed}."
        );
        state.surprises.push(message.clone());
        error(400, "NotStubbed", &message)
    }
}

impl HttpConnector for Cloud {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.clone();
        HttpConnectorFuture::new(async move {
            let body = ByteStream::new(request.take_body()).collect().await;
            let body = body.map_err(|error| ConnectorError::io(error.into()))?;
            if cloud.turns() {
                tokio::task::yield_now().await;
            }
            cloud.answer(&Call::new(&request, body.to_vec()))
        })
    }
}

impl HttpClient for Cloud {
    fn http_connector(&self, _settings: &HttpConnectorSettings, _components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
