//! Each thing that there can be against a release. A refusal writes nothing and changes nothing.

use incident::release::CheckVerdict;
use serde_json::json;
use stub::Answer;

use super::support::{Case, INCIDENT, ISOLATION, NIC, OTHER, RELEASE, World, before, case, case_of, moved, request};

/// Refused, for a reason that contains this; and nothing was written or changed.
async fn refused(world: &World, expected: &str) -> Vec<String> {
    world.aws.forget_calls();
    let keys = world.aws.keys();
    let checked = world.check().await;
    assert_eq!((checked.verdict, &checked.plan), (CheckVerdict::Refused, &None), "{expected}");
    assert!(checked.reasons.iter().any(|reason| reason.contains(expected)), "{expected}: {:?}", checked.reasons);
    assert_eq!(world.aws.keys(), keys, "{expected}");
    let writes = world.aws.mutations().into_iter().filter(|call| call.action != "kms:Verify");
    assert_eq!(writes.map(|call| call.action).collect::<Vec<_>>(), Vec::<String>::new(), "{expected}");
    checked.reasons
}

fn key(name: &str) -> String {
    incident::case::key(&case_of(INCIDENT), name)
}

const UNVERIFIED: &str = "the case file does not verify: run `cordon verify";

#[tokio::test]
async fn a_case_that_is_not_closed_or_not_there_is_not_released() {
    let world = World::of(vec![Case { closed: false, ..case(INCIDENT) }]).await;
    refused(&world, "is still open, it is not closed").await;
    refused(&World::of(Vec::new()).await, "there is no case").await;
}

#[tokio::test]
async fn a_case_file_that_does_not_verify_is_not_released() {
    type Change = fn(&World);
    let changes: [(&str, Change); 9] = [
        ("not by the key of this deployment", |world| world.now(|account| account.signed = false)),
        ("`SIGNATURE` was written twice", |world| world.aws.put_object_in("evidence", &key("manifest-closing.json.sig"), "x")),
        ("before.json` is not there once", |world| {
            world.aws.put_object_in("evidence", &key("before.json"), before(INCIDENT).to_string());
        }),
        ("plan.json` is not there once", |world| world.aws.put_object_in("evidence", &key("plan.json"), "{}")),
        ("finding.json` is not there once", |world| world.aws.put_object_in("evidence", &key("finding.json"), "{}")),
        ("extra.json` was added after the case was closed", |world| {
            world.aws.put_object_in("evidence", &key("extra.json"), "{}");
        }),
        ("records/20261124T033001.000Z-Isolate-00-009-intent.json` was added", |world| {
            let name = "records/20261124T033001.000Z-Isolate-00-009-intent.json";
            world.aws.put_object_in(
                "evidence",
                &key(name),
                json!({"changes": [moved(NIC, &["sg-0bad0bad0bad0bad0"])]}).to_string(),
            );
        }),
        ("its signature could not be checked", |world| {
            world.aws.set("kms:Verify", Answer::json_error(400, "AccessDeniedException", "no"));
        }),
        ("manifest", |world| world.aws.put_object_in("evidence", &key("manifest-closing.json"), "{}")),
    ];
    for (expected, change) in changes {
        let world = World::contained().await;
        change(&world);
        let reasons = refused(&world, UNVERIFIED).await;
        let expected = expected.replace("`SIGNATURE` was written twice", "exactly one closing manifest with one signature");
        assert!(reasons.iter().any(|reason| reason.contains(&expected)), "{expected}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_deleted_object_does_not_verify() {
    let world = World::contained().await;
    let s3 = aws_sdk_s3::Client::new(&world.aws.config());
    s3.delete_object().bucket("evidence").key(key("finding.json")).bypass_governance_retention(true).send().await.unwrap();
    refused(&world, "finding.json` is not there once").await;
}

#[tokio::test]
async fn a_signed_manifest_that_is_another_cases_or_lists_other_bytes_does_not_verify() {
    let other = |forge: fn(&mut incident::manifest::ClosingManifest)| Case { forge, ..case(INCIDENT) };
    for (expected, case) in [
        ("is not the one of this case", other(|manifest| manifest.case_id = case_of(OTHER))),
        ("is not the one of this case", other(|manifest| manifest.execution = incident::ExecutionArn::parse(OTHER).unwrap())),
        ("is not the one of this case", other(|manifest| manifest.schema = "cordon.manifest.evidence.v1".to_owned())),
        (
            "`before.json` does not have the SHA-256",
            other(|manifest| {
                let item = manifest.items.iter_mut().find(|item| item.object.key.ends_with("/before.json")).unwrap();
                item.object.sha256 = "0".repeat(64);
            }),
        ),
        (
            "-intent.json` does not have the SHA-256",
            other(|manifest| {
                let item = manifest.items.iter_mut().find(|item| item.object.key.contains("/records/")).unwrap();
                item.object.sha256 = "0".repeat(64);
            }),
        ),
        (
            "finding.json` is not there once",
            other(|manifest| {
                let item = manifest.items.iter_mut().find(|item| item.object.key.ends_with("/finding.json")).unwrap();
                item.object.size += 1;
            }),
        ),
        ("is listed twice", other(|manifest| manifest.items.push(manifest.items[0].clone()))),
    ] {
        let reasons = refused(&World::of(vec![case]).await, UNVERIFIED).await;
        assert!(reasons.iter().any(|reason| reason.contains(expected)), "{expected}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_case_without_what_was_before_is_not_released() {
    for name in ["before.json", "plan.json"] {
        let mut without = case(INCIDENT);
        without.objects.insert(name.to_owned(), json!(null));
        refused(&World::of(vec![without]).await, &format!("it has no {name}")).await;
    }
    let mut mixed = case(INCIDENT);
    mixed.objects.insert("before.json".to_owned(), before(OTHER));
    refused(&World::of(vec![mixed]).await, "is of another case").await;
    let mut broken = case(INCIDENT);
    broken.objects.insert("before-protections.json".to_owned(), json!({"schema": 7}));
    refused(&World::of(vec![broken]).await, "`before-protections.json` cannot be read").await;
}

#[tokio::test]
async fn a_release_is_no_case() {
    let mut of_release = case(INCIDENT);
    of_release.objects = [("release.json".to_owned(), json!({}))].into();
    refused(&World::of(vec![of_release]).await, "is a release and no case").await;
}

#[tokio::test]
async fn a_target_in_an_open_case_or_another_release_is_not_released() {
    let world = World::contained().await;
    world.now(|account| account.running = true);
    world.claim(OTHER, false);
    refused(&world, &format!("case {} of this target is open: wait until it is closed", case_of(OTHER))).await;
    world.claim(OTHER, true);
    refused(&world, "runs: wait until it has ended").await;
    world.aws.put_object_in("evidence", super::support::CLAIM, "no claim");
    refused(&world, "who has the target could not be read").await;
    world.claim(OTHER, false);
    world.deny("states:DescribeExecution");
    refused(&world, "who has the target could not be read").await;
}

#[tokio::test]
async fn a_target_that_is_gone_is_not_released() {
    for (state, expected) in
        [("terminated", "is terminated"), ("shutting-down", "is being terminated"), ("gone", "does not know it")]
    {
        let world = World::contained().await;
        world.now(|account| account.state = state.to_owned());
        refused(&world, expected).await;
        assert_eq!(world.dry_run().await.plan, None, "{state}");
    }
}

#[tokio::test]
async fn a_target_of_another_region_is_released_there() {
    let mut elsewhere = case(INCIDENT);
    elsewhere.objects.get_mut("plan.json").unwrap()["target"]["region"] = json!("eu-north-1");
    refused(&World::of(vec![elsewhere]).await, "Region eu-north-1: release it there").await;
}

#[tokio::test]
async fn a_stale_case_does_not_undo_the_containment_of_a_later_one() {
    let mut later = case(OTHER);
    later.objects.get_mut("before.json").unwrap()["opened"] = json!("2026-11-25T03:30:00Z");
    let world = World::of(vec![case(INCIDENT), later.clone()]).await;
    refused(&world, &format!("case {} came later and contained the target again", case_of(OTHER))).await;

    // One that did not contain it, one that was before it, and one that goes back to it are no obstacle.
    world.now(|account| account.nics.get_mut(NIC).unwrap().groups = vec![super::support::WEB.to_owned()]);
    assert_eq!(world.check().await.verdict, CheckVerdict::Release);
    let before = World::of(vec![case(INCIDENT), case(OTHER)]).await;
    assert_eq!(before.check().await.verdict, CheckVerdict::Release);
    later.objects.get_mut("before.json").unwrap()["earlierCase"] = json!(case_of(INCIDENT));
    let linked = World::of(vec![case(INCIDENT), later]).await;
    assert_eq!(linked.check().await.verdict, CheckVerdict::Release);
}

#[tokio::test]
async fn everything_that_there_is_against_it_is_told_at_once() {
    let world = World::contained().await;
    world.now(|account| {
        account.signed = false;
        account.running = true;
        account.state = "terminated".to_owned();
    });
    world.claim(OTHER, false);
    world.aws.put_object_in("evidence", &key("extra.json"), "{}");
    let reasons = refused(&world, "is open").await;
    for expected in ["not by the key", "extra.json", "is terminated"] {
        assert!(reasons.iter().any(|reason| reason.contains(expected)), "{expected}: {reasons:?}");
    }
    let checked = world.ask(json!({"caseId": case_of(INCIDENT), "reason": "", "dryRun": true}), 0).await.unwrap();
    assert_eq!((checked.verdict, checked.reasons.len(), checked.plan), (CheckVerdict::DryRun, reasons.len(), None));
}

#[tokio::test]
async fn refusals_are_bounded_however_much_is_wrong() {
    let world = World::contained().await;
    for n in 0..500 {
        world.aws.put_object_in("evidence", &key(&format!("extra-{n}-{}", "x".repeat(300))), "{}");
    }
    let reasons = refused(&world, "and 490 more").await;
    assert!(serde_json::to_string(&reasons).unwrap().len() < 10_000);
}

#[tokio::test]
async fn a_group_that_only_has_our_tag_is_not_taken_for_ours() {
    let world = World::contained().await;
    world.now(|account| {
        for (name, role) in account.groups.values_mut().filter(|(name, _)| *name == "web") {
            (*name, *role) = ("web".to_owned(), "isolation".to_owned());
        }
    });
    let checked = world.ask(request(), 0).await.unwrap();
    assert!(World::planned(&checked).contains(&format!("groups of {NIC}")));
    assert_ne!(case_of(RELEASE), case_of(INCIDENT));
    assert_eq!(world.account().nics[NIC].groups, [ISOLATION]);
}
