//! What was asked: the call, and which action of which service it is.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use std::collections::BTreeMap;

/// One call as it left the SDK.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The action by its IAM name, like `ec2:CreateSnapshots` or `states:StartExecution`. S3 and
    /// Lambda actions go by the operation: `s3:HeadObject`, `s3:ListObjectsV2`, `lambda:Invoke`.
    pub action: String,
    /// The HTTP method.
    pub method: String,
    /// The host, with its port if it has one.
    pub host: String,
    /// The path, still percent-encoded.
    pub path: String,
    /// The query string, decoded.
    pub query: Vec<(String, String)>,
    /// The headers; names in lower case. Trailers of an `aws-chunked` body are among them.
    pub headers: BTreeMap<String, String>,
    /// The body as text; `aws-chunked` is decoded.
    pub body: String,
    /// The body as bytes; `aws-chunked` is decoded.
    pub bytes: Vec<u8>,
    /// The parameters of a query-protocol call (EC2, SNS, IAM, STS), decoded.
    pub params: BTreeMap<String, String>,
    /// The bucket of an S3 call.
    pub bucket: Option<String>,
    /// The object key of an S3 call, decoded.
    pub key: Option<String>,
}

impl Call {
    /// A parameter of a query-protocol call, like `NetworkInterfaceId` or `Filter.1.Name`.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// The members of a list of a query-protocol call in order: `list("InstanceId")` are
    /// `InstanceId.1`, `InstanceId.2`, … (or `InstanceId.member.1`, …).
    pub fn list(&self, name: &str) -> Vec<&str> {
        let member =
            |number: usize| self.param(&format!("{name}.{number}")).or_else(|| self.param(&format!("{name}.member.{number}")));
        (1..).map_while(member).collect()
    }

    /// The body of a JSON-protocol call; `null` if it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// A header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A parameter of the query string.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// Whether the call asks for a change: neither a `Describe`, `Get`, `List`, `Head` or `Lookup`, nor an EC2 dry run.
    pub fn is_mutation(&self) -> bool {
        let operation = self.action.split_once(':').map_or("", |(_, operation)| operation);
        let reads = ["Describe", "Get", "List", "Head", "Lookup"].iter().any(|verb| operation.starts_with(verb));
        !reads && self.param("DryRun") != Some("true")
    }

    pub(crate) fn new(request: &HttpRequest, raw: Vec<u8>) -> Self {
        let uri = request.uri().split_once("://").map_or(request.uri(), |(_, rest)| rest);
        let (before, query) = uri.split_once('?').unwrap_or((uri, ""));
        let (host, path) = before.split_once('/').unwrap_or((before, ""));
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut headers: BTreeMap<String, String> =
            request.headers().iter_bytes().map(|(name, value)| (name.to_ascii_lowercase(), lossy(value))).collect();
        let bytes = match headers.get("x-amz-content-sha256") {
            Some(kind) if kind.starts_with("STREAMING-") => unchunk(&raw, &mut headers).unwrap_or(raw),
            _ => raw,
        };
        let mut call = Self {
            method: request.method().to_owned(),
            host: host.to_owned(),
            path: format!("/{path}"),
            query: form(query),
            headers,
            body: lossy(&bytes),
            bytes,
            ..Self::default()
        };
        let service = call.service();
        if service == "s3" {
            (call.bucket, call.key) = bucket_and_key(&call);
        }
        if call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            call.params = form(&call.body).into_iter().collect();
        }
        call.action = call.operation(&service).map_or_else(
            || format!("{service}:{} {}", call.method, call.path), // good enough to be reported as not stubbed
            |operation| format!("{service}:{operation}"),
        );
        call
    }

    /// The service: from the signature (`Credential=AKID/20260101/us-east-1/ec2/aws4_request`),
    /// or, unsigned, from the target or the host.
    fn service(&self) -> String {
        let credential = self
            .header("authorization")
            .and_then(|value| value.split_once("Credential="))
            .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default())
            .or_else(|| self.query("X-Amz-Credential"));
        if let Some(service) = credential.and_then(|scope| scope.rsplit('/').nth(1)) {
            return service.to_owned();
        }
        match self.target().map(|(prefix, _)| prefix) {
            Some("AmazonSSM") => return "ssm".to_owned(),
            Some("AWSStepFunctions") => return "states".to_owned(),
            Some("TrentService") => return "kms".to_owned(),
            Some("AWSEvents") => return "events".to_owned(),
            _ => {}
        }
        if self.host.starts_with("s3") || self.host.contains(".s3.") || self.host.contains(".s3-") {
            return "s3".to_owned();
        }
        self.host.split('.').next().unwrap_or_default().to_owned()
    }

    /// The target of an awsJson call: `AmazonSSM.GetParameter`.
    fn target(&self) -> Option<(&str, &str)> {
        self.header("x-amz-target").and_then(|target| target.rsplit_once('.'))
    }

    /// The operation, by the protocol: awsJson (SSM, Step Functions, KMS), awsQuery and ec2Query
    /// (SNS, IAM, STS, EC2), restXml (S3), restJson (Lambda, GuardDuty).
    fn operation(&self, service: &str) -> Option<String> {
        if let Some((_, operation)) = self.target() {
            return Some(operation.to_owned());
        }
        if let Some(operation) = self.param("Action") {
            return Some(operation.to_owned());
        }
        match service {
            "s3" => self.s3_operation(),
            "lambda" => self.lambda_operation().map(str::to_owned),
            "guardduty" => self.guardduty_operation().map(str::to_owned),
            _ => None,
        }
    }

    fn lambda_operation(&self) -> Option<&'static str> {
        let mut steps = self.path.split('/').skip(2);
        match (self.method.as_str(), steps.next(), steps.next(), steps.next()) {
            ("POST", Some("functions"), Some(_), Some("invocations")) => Some("Invoke"),
            ("GET", Some("functions"), Some(_), Some("configuration")) => Some("GetFunctionConfiguration"),
            ("PUT", Some("functions"), Some(_), Some("concurrency")) => Some("PutFunctionConcurrency"),
            ("GET", Some("functions"), Some(_), None) => Some("GetFunction"),
            _ => None,
        }
    }

    fn guardduty_operation(&self) -> Option<&'static str> {
        let mut steps = self.path.split('/').skip(1);
        match (self.method.as_str(), steps.next(), steps.next(), steps.next(), steps.next()) {
            ("GET", Some("detector"), None, ..) => Some("ListDetectors"),
            ("POST", Some("detector"), Some(_), Some("findings"), None) => Some("ListFindings"),
            ("POST", Some("detector"), Some(_), Some("findings"), Some("get")) => Some("GetFindings"),
            _ => None,
        }
    }

    fn s3_operation(&self) -> Option<String> {
        if let Some(id) = self.query("x-id") {
            return Some(id.to_owned()); // the SDK names most operations itself
        }
        let has = |name| self.query(name).is_some();
        let named = match (self.method.as_str(), self.key.is_some()) {
            ("POST", false) if has("delete") => "DeleteObjects",
            ("POST", true) if has("uploads") => "CreateMultipartUpload",
            ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
            ("PUT", true) if has("uploadId") => "UploadPart",
            ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
            ("GET", true) if has("uploadId") => "ListParts",
            ("GET", false) if has("uploads") => "ListMultipartUploads",
            ("GET", false) if has("versions") => "ListObjectVersions",
            ("GET", false) if has("list-type") => "ListObjectsV2",
            _ => return self.s3_subresource(),
        };
        Some(named.to_owned())
    }

    fn s3_subresource(&self) -> Option<String> {
        const NOUNS: [(&str, &str); 13] = [
            ("versioning", "BucketVersioning"),
            ("policy", "BucketPolicy"),
            ("encryption", "BucketEncryption"),
            ("lifecycle", "BucketLifecycleConfiguration"),
            ("location", "BucketLocation"),
            ("logging", "BucketLogging"),
            ("notification", "BucketNotificationConfiguration"),
            ("ownershipControls", "BucketOwnershipControls"),
            ("publicAccessBlock", "PublicAccessBlock"),
            ("object-lock", "ObjectLockConfiguration"),
            ("retention", "ObjectRetention"),
            ("legal-hold", "ObjectLegalHold"),
            ("attributes", "ObjectAttributes"),
        ];
        let verb = match self.method.as_str() {
            "GET" => "Get",
            "PUT" => "Put",
            "HEAD" => "Head",
            "DELETE" => "Delete",
            _ => return None,
        };
        let subject = if self.key.is_some() { "Object" } else { "Bucket" };
        if let Some((_, noun)) = NOUNS.iter().find(|(name, _)| self.query(name).is_some()) {
            return Some(format!("{verb}{noun}"));
        }
        if self.query("tagging").is_some() {
            return Some(format!("{verb}{subject}Tagging"));
        }
        if self.query("acl").is_some() {
            return Some(format!("{verb}{subject}Acl"));
        }
        Some(match (verb, &self.bucket, subject) {
            ("Get", None, _) => "ListBuckets".to_owned(),
            ("Get", Some(_), "Bucket") => "ListObjects".to_owned(),
            ("Put", Some(_), "Bucket") => "CreateBucket".to_owned(),
            ("Put", Some(_), _) if self.header("x-amz-copy-source").is_some() => "CopyObject".to_owned(),
            _ => format!("{verb}{subject}"),
        })
    }
}

/// Bucket and key of an S3 call in virtual-host style (`bucket.s3.us-east-1.amazonaws.com/key`)
/// or path style (`localhost:4566/bucket/key`).
fn bucket_and_key(call: &Call) -> (Option<String>, Option<String>) {
    let present = |text: &str| Some(decode(text, false)).filter(|text| !text.is_empty());
    let path = call.path.strip_prefix('/').unwrap_or(&call.path);
    let in_host = [".s3.", ".s3-"].iter().find_map(|mark| call.host.split_once(mark)).map(|(bucket, _)| bucket);
    if let Some(bucket) = in_host {
        return (present(bucket), present(path));
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    (present(bucket), present(key))
}

/// The payload of an `aws-chunked` body; its trailers become headers.
fn unchunk(raw: &[u8], headers: &mut BTreeMap<String, String>) -> Option<Vec<u8>> {
    let line = |from: &[u8]| {
        let end = from.windows(2).position(|pair| pair == b"\r\n")?;
        Some((String::from_utf8_lossy(from.get(..end)?).into_owned(), from.get(end + 2..)?.to_vec()))
    };
    let (mut payload, mut rest) = (Vec::new(), raw.to_vec());
    loop {
        let (size, after) = line(&rest)?;
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        rest = after;
        if size == 0 {
            break;
        }
        payload.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?.to_vec(); // the chunk ends with CRLF
    }
    while let Some((trailer, after)) = line(&rest) {
        if let Some((name, value)) = trailer.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
        rest = after;
    }
    Some(payload)
}

fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name, true), decode(value, true)))
        .collect()
}

/// Percent-decoding; in a form a plus sign is a space.
fn decode(text: &str, plus: bool) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let ahead = rest.clone();
        let escaped = || {
            let mut digits = ahead.map(|digit| char::from(digit).to_digit(16));
            u8::try_from(digits.next()?? * 16 + digits.next()??).ok()
        };
        match byte {
            b'%' if let Some(value) = escaped() => {
                decoded.push(value);
                rest.nth(1);
            }
            b'+' if plus => decoded.push(b' '),
            other => decoded.push(other),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
