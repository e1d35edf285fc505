//! Crafted requests, as the SDK versions of this workspace send them.

use super::*;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const EVIDENCE: &str = "https://evidence.s3.us-east-1.amazonaws.com";

fn request(method: &str, uri: &str, headers: &[(&'static str, &str)], body: &[u8]) -> HttpRequest {
    let mut request = HttpRequest::new(aws_smithy_types::body::SdkBody::from(body.to_vec()));
    request.set_method(method).unwrap();
    request.set_uri(uri).unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, (*value).to_owned());
    }
    request
}

fn sent(aws: &Stub, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    match pin!(aws.cloud.call(request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an answer in process is ready at once"),
    }
}

#[test]
fn an_answer_lets_others_have_a_turn_where_that_is_asked_for() {
    let aws = Stub::new();
    aws.take_turns();
    aws.put_object("key", "bytes");
    let mut call = pin!(aws.cloud.call(request("GET", &format!("{EVIDENCE}/key"), &[], b"")));
    let mut look = || call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    assert!(!look() && aws.calls().is_empty(), "others come first");
    assert!(look() && aws.calls().len() == 1);
}

fn send(aws: &Stub, method: &str, uri: &str, headers: &[(&'static str, &str)], body: &[u8]) -> (u16, String, HttpResponse) {
    let response = sent(aws, request(method, uri, headers, body)).unwrap();
    let text = String::from_utf8_lossy(response.body().bytes().unwrap()).into_owned();
    (response.status().as_u16(), text, response)
}

fn s3(aws: &Stub, method: &str, target: &str, headers: &[(&'static str, &str)], body: &str) -> (u16, String, HttpResponse) {
    send(aws, method, &format!("{EVIDENCE}/{target}"), headers, body.as_bytes())
}

fn query(aws: &Stub, service: &str, body: &str) -> (u16, String, HttpResponse) {
    let scope =
        format!("AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=00");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", &scope)];
    send(aws, "POST", &format!("https://{service}.us-east-1.amazonaws.com/"), &headers, body.as_bytes())
}

fn action(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> String {
    Call::new(&request(method, uri, headers, b""), Vec::new()).action
}

#[test]
fn queued_answers_come_first_and_then_the_standing_one() {
    let aws = Stub::new()
        .on("ec2:DescribeInstances", Answer::xml("<standing/>"))
        .once("ec2:DescribeInstances", Answer::ec2_error(503, "RequestLimitExceeded", "slow & easy"))
        .once("ec2:DescribeInstances", Answer::xml("<second/>"));
    let call = "Action=DescribeInstances&Version=2016-11-15";
    let (status, body, response) = query(&aws, "ec2", call);
    assert_eq!(status, 503);
    assert!(body.contains("<Code>RequestLimitExceeded</Code><Message>slow &amp; easy</Message>"), "{body}");
    assert_eq!(response.headers().get("x-amzn-requestid"), Some("stub-1"));
    assert_eq!(aws.unused(), ["ec2:DescribeInstances"]);
    assert_eq!(query(&aws, "ec2", call).1, "<second/>");
    assert_eq!(query(&aws, "ec2", call).1, "<standing/>");
    assert_eq!(query(&aws, "ec2", call).1, "<standing/>");
    assert_eq!(aws.count("ec2:DescribeInstances"), 4);
    assert!(aws.unused().is_empty());
    assert!(aws.mutations().is_empty());
}

#[test]
fn a_query_call_has_its_parameters_and_a_function_may_answer_by_them() {
    let aws = Stub::new().on_fn("ec2:ModifyNetworkInterfaceAttribute", |call| {
        Answer::xml(format!("<{}/>", call.param("NetworkInterfaceId").unwrap()))
    });
    let body = "Action=ModifyNetworkInterfaceAttribute&NetworkInterfaceId=eni-1&SecurityGroupId.1=sg-1&SecurityGroupId.2=sg-2&Note=a+b%3D%26%C3%A9";
    assert_eq!(query(&aws, "ec2", body).1, "<eni-1/>");
    query(&aws, "ec2", &format!("{body}&DryRun=true"));
    let call = &aws.calls()[0];
    assert_eq!(call.list("SecurityGroupId"), ["sg-1", "sg-2"]);
    assert_eq!(call.param("Note"), Some("a b=&é"));
    assert_eq!(aws.mutations().len(), 1, "a dry run changes nothing");
    aws.forget_calls();
    assert_eq!(aws.actions(), [""; 0]);
}

#[test]
fn a_call_that_nothing_answers_says_how_to_stub_it() {
    let aws = Stub::new().once("sns:Publish", Answer::xml("<PublishResponse/>"));
    query(&aws, "sns", "Action=Publish&Message=hello");
    let (status, body, _) = query(&aws, "sns", "Action=Publish&Message=hello");
    assert_eq!(status, 400);
    assert!(body.contains("<Code>NotStubbed</Code>") && body.contains("<ErrorResponse>"), "{body}");
    let surprises = aws.surprises();
    assert!(surprises[0].contains("no answer for sns:Publish (its queued answers are used up)"), "{surprises:?}");
    assert!(surprises[0].contains(".on(\"sns:Publish\", Answer::xml(…))"), "{surprises:?}");
    assert_eq!(aws.count("sns:Publish"), 2);
    aws.assert_no_surprises();
}

#[test]
#[should_panic(expected = "no answer for ec2:RunInstances")]
fn a_surprise_fails_the_test_even_if_the_code_swallows_it() {
    query(&Stub::new(), "ec2", "Action=RunInstances");
}

#[test]
fn a_lost_answer_is_an_io_error_and_a_late_one_a_timeout() {
    let aws = Stub::new().once("s3:PutObject", Answer::lost()).once("s3:PutObject", Answer::bucket_then_lost());
    aws.push("s3:PutObject", Answer::timeout());
    let put = || sent(&aws, request("PUT", &format!("{EVIDENCE}/key?x-id=PutObject"), &[], b"bytes"));
    assert!(put().unwrap_err().is_io());
    assert_eq!(aws.object("key"), None);
    assert!(put().unwrap_err().is_io());
    assert_eq!(aws.object("key").unwrap(), b"bytes", "stored, though the caller cannot know");
    assert!(put().unwrap_err().is_timeout());
    assert_eq!(put().unwrap().status().as_u16(), 200, "then the bucket answers again");
}

#[test]
fn a_json_call_is_known_by_its_target() {
    let named = |target| action("POST", "https://service.amazonaws.com/", &[("x-amz-target", target)]);
    assert_eq!(named("AmazonSSM.GetParameter"), "ssm:GetParameter");
    assert_eq!(named("AWSStepFunctions.StartExecution"), "states:StartExecution");
    assert_eq!(named("TrentService.Sign"), "kms:Sign");

    let aws = Stub::new().on("kms:Sign", Answer::json(serde_json::json!({ "Signature": "AA==" })));
    let headers = [("x-amz-target", "TrentService.Sign"), ("content-type", "application/x-amz-json-1.1")];
    assert_eq!(send(&aws, "POST", "https://kms.amazonaws.com/", &headers, br#"{"KeyId":"k"}"#).1, r#"{"Signature":"AA=="}"#);
    assert_eq!(aws.calls()[0].json()["KeyId"], "k");
    let (_, body, response) = send(&aws, "POST", "https://kms.amazonaws.com/", &[("x-amz-target", "TrentService.Verify")], b"{}");
    assert!(body.contains(r#""__type":"NotStubbed""#), "{body}");
    assert_eq!(response.headers().get("x-amzn-errortype"), Some("NotStubbed"));
    assert_eq!(aws.surprises().len(), 1);
}

#[test]
fn a_rest_call_is_known_by_its_method_and_target() {
    let lambda = "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/collect/invocations";
    assert_eq!(action("POST", lambda, &[]), "lambda:Invoke");
    for (method, target, expected) in [
        ("GET", "a/b%20c?x-id=GetObject", "s3:GetObject"),
        ("PUT", "a?x-id=PutObject", "s3:PutObject"),
        ("HEAD", "a", "s3:HeadObject"),
        ("DELETE", "a?x-id=DeleteObject&versionId=1", "s3:DeleteObject"),
        ("GET", "?list-type=2&prefix=a", "s3:ListObjectsV2"),
        ("GET", "?versions", "s3:ListObjectVersions"),
        ("GET", "?versioning", "s3:GetBucketVersioning"),
        ("GET", "?object-lock", "s3:GetObjectLockConfiguration"),
        ("GET", "a?retention", "s3:GetObjectRetention"),
        ("PUT", "a?legal-hold", "s3:PutObjectLegalHold"),
        ("POST", "a?uploads", "s3:CreateMultipartUpload"),
        ("POST", "?delete", "s3:DeleteObjects"),
        ("PUT", "a?tagging", "s3:PutObjectTagging"),
        ("HEAD", "", "s3:HeadBucket"),
    ] {
        assert_eq!(action(method, &format!("{EVIDENCE}/{target}"), &[]), expected, "{method} {target}");
    }
    let styles = [format!("{EVIDENCE}/a/b%20c"), "https://s3.us-east-1.amazonaws.com/evidence/a/b%20c".to_owned()];
    for uri in styles {
        let call = Call::new(&request("GET", &uri, &[], b""), Vec::new());
        assert_eq!((call.bucket.as_deref(), call.key.as_deref()), (Some("evidence"), Some("a/b c")), "{uri}");
    }
}

#[test]
fn a_chunked_body_is_decoded_and_its_trailer_is_a_header() {
    let aws = Stub::new();
    let headers = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
    ];
    let body = "5\r\nhello\r\n8;chunk-signature=00\r\n, \r\nbye!\r\n0\r\nx-amz-checksum-crc32:i9aeUg==\r\n\r\n";
    let (status, _, put) = s3(&aws, "PUT", "a?x-id=PutObject", &headers, body);
    assert_eq!((status, put.headers().get("x-amz-checksum-crc32")), (200, Some("i9aeUg==")));
    assert_eq!(aws.object("a").unwrap(), b"hello, \r\nbye!");
    let stored = aws.object_headers("a").unwrap();
    assert_eq!(stored["x-amz-object-lock-mode"], "COMPLIANCE");
    assert_eq!(stored["x-amz-checksum-crc32"], "i9aeUg==");
    assert!(!stored.contains_key("content-encoding"));
    let (_, text, read) = s3(&aws, "GET", "a?x-id=GetObject", &[("x-amz-checksum-mode", "ENABLED")], "");
    assert_eq!(text, "hello, \r\nbye!");
    assert_eq!(read.headers().get("x-amz-checksum-crc32"), Some("i9aeUg=="));
    assert_eq!(read.headers().get("x-amz-object-lock-mode"), Some("COMPLIANCE"));
}

#[test]
fn conditional_writes_are_honoured() {
    let aws = Stub::new();
    let put = |headers: &[(&'static str, &str)]| s3(&aws, "PUT", "claim?x-id=PutObject", headers, "x");
    assert_eq!(put(&[("if-match", "\"00\"")]).0, 404, "nothing to match");
    let (status, _, first) = put(&[("if-none-match", "*")]);
    assert_eq!(status, 200);
    let (status, body, _) = put(&[("if-none-match", "*")]);
    assert_eq!(status, 412);
    assert!(body.contains("<Code>PreconditionFailed</Code>"), "{body}");
    assert_eq!(put(&[("if-match", "\"00\"")]).0, 412);
    let etag = first.headers().get("etag").unwrap();
    assert_eq!(put(&[("if-match", etag)]).0, 200);

    let delete = |etag: &str| s3(&aws, "DELETE", "claim?x-id=DeleteObject", &[("if-match", etag)], "").0;
    assert_eq!(delete("\"00\""), 412);
    assert_eq!(delete(etag), 204);
    assert_eq!(delete("*"), 404);
    assert_eq!(put(&[("if-none-match", "*")]).0, 200, "a delete marker is no object");
}

#[test]
fn reads_heads_and_deletes_know_versions() {
    let aws = Stub::new();
    s3(&aws, "PUT", "a?x-id=PutObject", &[("x-amz-object-lock-legal-hold", "ON")], "one");
    s3(&aws, "PUT", "a?x-id=PutObject", &[("x-amz-meta-case", "7")], "two");
    let (status, body, head) = s3(&aws, "HEAD", "a", &[], "");
    assert_eq!((status, body.as_str(), head.headers().get("content-length")), (200, "", Some("3")));
    assert_eq!(head.headers().get("x-amz-version-id"), Some("version-2"));
    assert_eq!(head.headers().get("x-amz-meta-case"), Some("7"));
    assert_eq!(s3(&aws, "GET", "a?versionId=version-1", &[], "").1, "one");
    assert_eq!(s3(&aws, "DELETE", "a?x-id=DeleteObject&versionId=version-1", &[], "").0, 403, "held");
    assert_eq!(s3(&aws, "DELETE", "a?x-id=DeleteObject", &[], "").0, 204);
    assert_eq!(s3(&aws, "HEAD", "a", &[], "").0, 404);
    assert!(s3(&aws, "GET", "a", &[], "").1.contains("<Code>NoSuchKey</Code>"));
    assert!(aws.keys().is_empty());
    let (_, listed, _) = s3(&aws, "GET", "?versions", &[], "");
    assert_eq!(listed.matches("<Version>").count(), 2);
    assert!(listed.contains("<DeleteMarker><Key>a</Key><VersionId>version-3</VersionId><IsLatest>true</IsLatest>"), "{listed}");
    assert_eq!(s3(&aws, "DELETE", "a?versionId=version-3", &[], "").0, 204);
    assert_eq!(aws.object("a").unwrap(), b"two", "without its delete marker it is there again");
    assert_eq!(s3(&aws, "GET", "a", &[("range", "bytes=0-1")], "").0, 501);
}

#[test]
fn lists_come_in_pages() {
    let aws = Stub::new().page_size(2);
    for key in ["in/1", "in/2", "in/3&", "out/1"] {
        aws.put_object(key, "x");
    }
    let (_, first, _) = s3(&aws, "GET", "?list-type=2&prefix=in%2F", &[], "");
    assert!(first.contains("<IsTruncated>true</IsTruncated><NextContinuationToken>in/2<"), "{first}");
    let (_, second, _) = s3(&aws, "GET", "?list-type=2&prefix=in%2F&continuation-token=in%2F2", &[], "");
    assert!(second.contains("<IsTruncated>false</IsTruncated><Contents><Key>in/3&amp;</Key>"), "{second}");
    let (_, after, _) = s3(&aws, "GET", "?list-type=2&start-after=in%2F3%26", &[], "");
    assert!(after.contains("<KeyCount>1</KeyCount>") && after.contains("<Key>out/1</Key>"), "{after}");
    let (_, groups, _) = s3(&aws, "GET", "?list-type=2&delimiter=%2F", &[], "");
    assert!(groups.contains("<CommonPrefixes><Prefix>in/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>out/"), "{groups}");

    s3(&aws, "PUT", "in/1?x-id=PutObject", &[], "y");
    s3(&aws, "PUT", "in/1?x-id=PutObject", &[], "z");
    let (_, first, _) = s3(&aws, "GET", "?versions&prefix=in%2F1", &[], "");
    assert!(first.contains("<NextKeyMarker>in/1</NextKeyMarker><NextVersionIdMarker>version-5<"), "{first}");
    let (_, second, _) = s3(&aws, "GET", "?versions&prefix=in%2F1&key-marker=in%2F1&version-id-marker=version-5", &[], "");
    assert!(second.contains("<Version><Key>in/1</Key><VersionId>version-1</VersionId><IsLatest>false<"), "{second}");
    assert_eq!(second.matches("<Version>").count(), 1);
    let (_, none, _) = s3(&aws, "GET", "?versions&prefix=in%2F1&key-marker=in%2F1", &[], "");
    assert!(!none.contains("<Version>"), "{none}");
}

#[test]
fn each_bucket_has_its_own_objects() {
    let aws = Stub::new();
    aws.put_object("everywhere", "1");
    aws.put_object_in("journal", "a", "2");
    assert_eq!(s3(&aws, "GET", "everywhere", &[], "").1, "1");
    assert_eq!(s3(&aws, "GET", "a", &[], "").0, 404, "that is in another bucket");
    assert_eq!(aws.object_in("journal", "a").unwrap(), b"2");
    s3(&aws, "PUT", "everywhere?x-id=PutObject", &[], "3");
    assert_eq!(aws.object_in("evidence", "everywhere").unwrap(), b"3");
    assert_eq!(aws.keys(), ["a", "everywhere"]);
}

#[test]
fn the_lock_is_not_held_while_an_answer_is_computed() {
    let aws = Arc::new(Stub::new());
    let inner = Arc::downgrade(&aws);
    aws.set_fn("ec2:DescribeVpcs", move |_| Answer::xml(format!("<n>{}</n>", inner.upgrade().unwrap().calls().len())));
    assert_eq!(query(&aws, "ec2", "Action=DescribeVpcs").1, "<n>1</n>");
}

#[test]
fn parts_are_no_object_until_an_upload_is_completed() {
    let aws = Stub::new().page_size(1);
    let (status, body, _) = s3(&aws, "POST", "image?uploads", &[], "");
    assert_eq!((status, aws.open_uploads()), (200, vec!["image".to_owned()]));
    assert!(body.contains("<UploadId>upload-1</UploadId>"), "{body}");
    let part = |n: u32, bytes: &[u8]| {
        aws.fetch("PUT", &format!("{EVIDENCE}/image?x-id=UploadPart&partNumber={n}&uploadId=upload-1"), bytes)
    };
    let first = vec![7; 5 << 20];
    assert_eq!((part(1, &first).0, part(2, b"123456789").0, part(0, b"").0, part(10_001, b"").0), (200, 200, 400, 400));
    assert_eq!(
        aws.fetch("PUT", &format!("{EVIDENCE}/other?partNumber=1&uploadId=upload-1"), b"").0,
        404,
        "an upload has one key"
    );
    assert!(aws.keys().is_empty());

    let list = |after: &str| s3(&aws, "GET", &format!("image?uploadId=upload-1{after}"), &[], "").1;
    assert!(list("").contains("<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"), "{}", list(""));
    assert!(list("&part-number-marker=1").contains("<PartNumber>2</PartNumber>"));

    let complete = |parts: &[(u32, &str)], headers: &[(&'static str, &str)]| {
        let parts = parts.iter().map(|(n, etag)| format!("<Part><ETag>{etag}</ETag><PartNumber>{n}</PartNumber></Part>"));
        let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
        s3(&aws, "POST", "image?uploadId=upload-1", headers, &body)
    };
    let both = [(1, "part-1"), (2, "part-2")];
    for (parts, headers, code) in [
        (vec![], vec![], "MalformedXML"),
        (vec![(2, "part-2"), (1, "part-1")], vec![], "InvalidPartOrder"),
        (vec![(1, "part-2")], vec![], "InvalidPart"),
        (vec![(3, "part-3")], vec![], "InvalidPart"),
        (both.to_vec(), vec![("x-amz-mp-object-size", "1")], "InvalidRequest"),
    ] {
        let (status, body, _) = complete(&parts, &headers);
        assert!(status == 400 && body.contains(code), "{code}: {body}");
    }
    let (status, body, _) = complete(&both, &[("if-none-match", "*"), ("x-amz-mp-object-size", "5242889")]);
    assert!(status == 200 && body.contains("-2&quot;</ETag>"), "{body}");
    assert_eq!(aws.object("image").unwrap(), [first.as_slice(), b"123456789"].concat());
    assert!(aws.open_uploads().is_empty());
    assert!(complete(&both, &[]).1.contains("NoSuchUpload"));

    s3(&aws, "POST", "image?uploads", &[], "");
    let again = "<CompleteMultipartUpload><Part><ETag>part-3</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>";
    assert_eq!(s3(&aws, "POST", "image?uploadId=upload-2", &[("if-none-match", "*")], again).0, 412);
    assert_eq!(s3(&aws, "DELETE", "image?uploadId=upload-2", &[], "").0, 204);
    assert_eq!(s3(&aws, "DELETE", "image?uploadId=upload-2", &[], "").0, 404);
}

#[test]
fn the_checksum_of_an_upload_is_that_of_the_whole() {
    let aws = Stub::new();
    s3(&aws, "POST", "text?uploads", &[], "");
    aws.fetch("PUT", &format!("{EVIDENCE}/text?partNumber=1&uploadId=upload-1"), b"123456789");
    let parts = "<CompleteMultipartUpload><Part><ETag>part-1</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>";
    s3(&aws, "POST", "text?uploadId=upload-1", &[], parts);
    let (_, _, head) = s3(&aws, "HEAD", "text", &[("x-amz-checksum-mode", "ENABLED")], "");
    // The check value of CRC-64/NVME: AE8B14860A799888.
    assert_eq!(head.headers().get("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
    assert_eq!(head.headers().get("x-amz-checksum-type"), Some("FULL_OBJECT"));
}

#[test]
fn a_retention_locks_one_version_and_can_only_be_made_longer() {
    let aws = Stub::new();
    aws.put_object_in("evidence", "key", "x");
    let retention = |until: &str| {
        let body = format!("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>");
        s3(&aws, "PUT", "key?retention&versionId=version-1", &[], &body).0
    };
    assert_eq!(
        (retention("2027-01-02T00:00:00Z"), retention("2027-01-02T00:00:00Z"), retention("2027-01-01T00:00:00Z")),
        (200, 200, 403)
    );
    assert_eq!(aws.object_headers("key").unwrap()["x-amz-object-lock-retain-until-date"], "2027-01-02T00:00:00Z");
    assert_eq!(s3(&aws, "DELETE", "key?versionId=version-1", &[], "").0, 403);
    assert_eq!(
        s3(
            &aws,
            "PUT",
            "key?retention&versionId=version-9",
            &[],
            "<Mode>GOVERNANCE</Mode><RetainUntilDate>2027</RetainUntilDate>"
        )
        .0,
        404
    );
}
