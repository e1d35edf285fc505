use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use incident::case;
use incident::permission::{Answer, PROOF_BODY, PROOF_CONTENT_TYPE, Proof, SIGNED_HEADERS, Statement};
use incident::text::{hex, sha256};
use serde_json::{Value, json};

use crate::aws::{ACCESS_KEY, Aws, FUNCTION, REGION, SECRET, STS_HOST};
use crate::made::{INSTANCE, evidence, id, put};
use crate::{err, out, said};

const PERSON: &str = "111122223333/role/Responder";

fn taken(status: &str, approvals: u32, repeated: bool) -> (bool, Value) {
    let arn = "arn:aws:sts::111122223333:assumed-role/Responder/alice";
    (
        false,
        json!({"status": status, "case": id("one"), "person": PERSON, "arn": arn, "approvals": approvals, "needed": 2, "repeated": repeated}),
    )
}

/// A case whose evidence is sealed, and a function that answers so.
fn sealed(missing: &[(&str, &str)], answer: (bool, Value)) -> (Aws, String) {
    let aws = Aws::new();
    let manifest = evidence("one", missing, &[]);
    put(&aws, "one", case::EVIDENCE_MANIFEST, &manifest);
    aws.change(|account| account.answer = Some(answer));
    (aws, sha256(manifest.to_string().as_bytes()))
}

/// What the function was given, as it reads it.
fn given(aws: &Aws) -> (Statement, Answer) {
    let invoked = aws.invoked();
    assert_eq!(invoked.len(), 1);
    let (function, payload) = invoked.first().unwrap();
    assert_eq!((function.as_str(), &payload["mode"]), (FUNCTION, &json!("answer")));
    let mut fields = payload.as_object().unwrap().clone();
    fields.remove("mode");
    let answer: Answer = serde_json::from_value(Value::Object(fields)).unwrap();
    (serde_json::from_str(&answer.statement).unwrap(), answer)
}

/// The signature that STS would compute over the request that the function sends, by hand.
fn signature(statement: &Statement, proof: &Proof, headers: &[&str], secret: &str) -> String {
    let bound = statement.headers();
    let value = |name: &str| match name {
        "content-type" => PROOF_CONTENT_TYPE.to_owned(),
        "host" => STS_HOST.to_owned(),
        "x-amz-date" => proof.date.clone(),
        "x-amz-security-token" => proof.security_token.clone().unwrap(),
        name => bound.iter().find(|(bound, _)| *bound == name).unwrap().1.clone(),
    };
    let canonical: String = headers.iter().map(|name| format!("{name}:{}\n", value(name))).collect();
    let request = format!("POST\n/\n\n{canonical}\n{}\n{}", headers.join(";"), sha256(PROOF_BODY.as_bytes()));
    let day = &proof.date[..8];
    let text = format!("AWS4-HMAC-SHA256\n{}\n{day}/{REGION}/sts/aws4_request\n{}", proof.date, sha256(request.as_bytes()));
    let mac = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let key = [day, REGION, "sts", "aws4_request"].iter().fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
    hex(&mac(&key, &text))
}

fn assert_proved(statement: &Statement, answer: &Answer, headers: &[&str]) {
    let proof = &answer.proof;
    assert_eq!(answer.statement.as_bytes(), statement.bytes(), "the bytes that are digested are the bytes that are sent");
    assert_eq!(proof.host, STS_HOST);
    let expected = |secret| {
        let scope = format!("{ACCESS_KEY}/{}/{REGION}/sts/aws4_request", &proof.date[..8]);
        let signature = signature(statement, proof, headers, secret);
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={}, Signature={signature}", headers.join(";"))
    };
    assert_eq!(proof.authorization, expected(SECRET));
    assert_ne!(proof.authorization, expected("another secret"));
}

#[test]
fn an_approval_is_signed_for_the_manifest_that_was_read_and_tells_how_many_more_are_needed() {
    let (aws, manifest) = sealed(&[], taken("waiting", 1, false));
    let output = aws.cordon(&["approve", id("one").as_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let expected = format!(
        "you allow that {INSTANCE} of account 111122223333 in {REGION} is terminated (case {})
  containment  contained
  evidence     sealed at 2026-11-24T04:30:00Z, complete
",
        id("one")
    );
    assert_eq!(err(&output), expected);
    assert_eq!(out(&output), format!("taken from {PERSON}: 1 of 2 have approved, 1 more must\n"));
    let (statement, answer) = given(&aws);
    assert_eq!((statement.case_id.clone(), statement.manifest.clone()), (id("one"), manifest));
    assert_eq!((statement.check(), statement.waive.len()), (Ok(()), 0));
    assert_proved(&statement, &answer, &SIGNED_HEADERS);
}

#[test]
fn a_session_signs_its_token_too_and_nothing_secret_is_printed() {
    let (aws, _) = sealed(&[], taken("approved", 2, true));
    let case = id("one");
    for more in [&[][..], &["--json"]] {
        aws.change(|account| account.invoked.clear());
        let arguments = [&["approve", case.as_str()], more].concat();
        let output = aws.cordon_as(&arguments, &[("AWS_SESSION_TOKEN", "secretToken")]);
        let (statement, answer) = given(&aws);
        let headers: Vec<&str> = {
            let mut headers = [&SIGNED_HEADERS[..], &["x-amz-security-token"]].concat();
            headers.sort_unstable();
            headers
        };
        assert_eq!(answer.proof.security_token.as_deref(), Some("secretToken"));
        assert_proved(&statement, &answer, &headers);
        let text = said(&output);
        let signature = answer.proof.authorization.rsplit('=').next().unwrap();
        for secret in ["secretToken", SECRET, signature, "AWS4-HMAC", ACCESS_KEY] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn what_is_missing_and_not_waived_is_refused_at_once_with_the_command_that_would_do() {
    let missing = [("memory", "no path\u{1b}[2J"), ("object:it's $(x)", "unlocked")];
    let (aws, _) = sealed(&missing, taken("waiting", 1, false));
    let case = id("one");
    for arguments in
        [&["approve", case.as_str()][..], &["approve", case.as_str(), "--waive", "memory", "--because", "seen before"]]
    {
        let output = aws.cordon(arguments);
        let text = err(&output);
        assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()), "{text}");
        let because = if arguments.len() > 2 { "'seen before'" } else { "'…'" };
        let command = format!(r"cordon approve {case} --waive memory --waive 'object:it'\''s $(x)' --because {because}");
        assert!(text.contains(&format!("\n{command}\n")), "{text}");
        assert!(text.contains("  missing      memory: no path [2J\n") && !text.contains('\u{1b}'), "{text}");
    }
    assert_eq!(aws.invoked().len(), 0, "nothing is sent");

    let all = ["approve", case.as_str(), "--waive", "memory", "--waive", "object:it's $(x)", "--because", "seen before"];
    let output = aws.cordon(&all);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let (statement, answer) = given(&aws);
    let waived: Vec<(&str, &str)> =
        statement.waive.iter().map(|waiver| (waiver.item.as_str(), waiver.because.as_str())).collect();
    assert_eq!(waived, [("memory", "seen before"), ("object:it's $(x)", "seen before")]);
    assert_proved(&statement, &answer, &SIGNED_HEADERS);
}

#[test]
fn what_the_function_would_refuse_is_refused_before_it_is_asked() {
    let (aws, _) = sealed(&[], taken("waiting", 1, false));
    let (case, other) = (id("one"), id("two"));
    let long = "x".repeat(1_001);
    for (arguments, status, named) in [
        (&["approve", case.as_str(), "--waive", "memory", "--because", "why"][..], 1, "`memory` is not missing"),
        (&["approve", other.as_str()], 1, "not sealed yet"),
        (&["approve", case.as_str(), "--waive", "memory"], 64, "--because"),
        (&["deny", case.as_str()], 64, "--because"),
        (&["deny", case.as_str(), "--because", " "], 64, "must say why"),
        (&["deny", case.as_str(), "--because", &long], 64, "at most 1000"),
        (&["approve", "i-0abc1234def567890"], 64, "case id"),
    ] {
        let output = aws.cordon(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", said(&output));
        assert!(err(&output).contains(named), "{arguments:?}: {}", said(&output));
    }
    aws.put(&case::key(&other, case::EVIDENCE_MANIFEST), evidence("one", &[], &[]).to_string());
    let output = aws.cordon(&["approve", other.as_str()]);
    assert!(err(&output).contains("it is of the case"), "a manifest of another case: {}", said(&output));
    aws.change(|account| account.old = true);
    let output = aws.cordon(&["approve", case.as_str()]);
    assert!(err(&output).contains("no function that takes answers"), "{}", said(&output));
    assert_eq!(aws.invoked().len(), 0, "nothing is sent");
}

#[test]
fn a_denial_and_what_became_of_it_are_told_to_people_and_programs() {
    let (aws, manifest) = sealed(&[("memory", "no path")], taken("denied", 0, false));
    let case = id("one");
    let output = aws.cordon(&["deny", case.as_str(), "--because", "we still need it", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        serde_json::from_str::<Value>(&out(&output)).unwrap(),
        json!({"schema": "cordon.answered.v1", "caseId": case, "decision": "deny", "instanceId": INSTANCE, "account": "111122223333",
            "manifest": manifest, "missing": [{"item": "memory", "reason": "no path"}], "waive": [], "status": "denied",
            "person": PERSON, "arn": "arn:aws:sts::111122223333:assumed-role/Responder/alice", "approvals": 0, "needed": 2, "repeated": false})
    );
    let (statement, answer) = given(&aws);
    assert_eq!(statement.because, "we still need it");
    assert_proved(&statement, &answer, &SIGNED_HEADERS);

    for (answer, status, line) in [
        (taken("denied", 0, true), 0, format!("denied by {PERSON} (you had said so before): the target stays in quarantine\n")),
        (taken("approved", 2, false), 1, format!("too late, {PERSON}: 2 of 2 had approved already\n")),
    ] {
        aws.change(|account| account.answer = Some(answer));
        let output = aws.cordon(&["deny", case.as_str(), "--because", "why"]);
        assert_eq!((output.status.code(), out(&output)), (Some(status), line), "{}", said(&output));
    }
}

#[test]
fn a_refusal_of_the_function_ends_with_1_and_its_message() {
    for (payload, expected) in [
        (
            json!({"errorType": "Refused", "errorMessage": "the question is over\u{1b}[2J"}),
            "cordon: refused: the question is over [2J\n",
        ),
        (json!({"errorType": "Transient", "errorMessage": "slow"}), "failed (Transient): slow; try again"),
    ] {
        let (aws, _) = sealed(&[], (true, payload));
        let output = aws.cordon(&["approve", id("one").as_str(), "--json"]);
        assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()), "{}", said(&output));
        assert!(err(&output).contains(expected), "{}", said(&output));
    }
    let (aws, _) = sealed(&[], (false, json!({"what": 1})));
    let output = aws.cordon(&["approve", id("one").as_str()]);
    assert!(output.status.code() == Some(1) && err(&output).contains("its result"), "{}", said(&output));
}
