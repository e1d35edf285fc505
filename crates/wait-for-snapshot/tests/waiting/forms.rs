//! What an execution is woken with has the form that its schema promises.

use serde_json::{Value, json};
use stub::Call;

use crate::support::{CASE, LOOK, ONE, TWO, WAKE, completed, event, run, waiting};

/// Executions of older versions are woken by newer ones, and their steps refuse fields that they do not know. So whoever
/// changes what stands here gives the schema another name: then the old ones are left to their own looks.
#[tokio::test]
async fn the_schema_says_what_an_execution_is_woken_with() {
    let aws = waiting().await;
    aws.set(LOOK, completed());
    let kept: Value = serde_json::from_slice(&aws.object(&format!("waiting/{CASE}.json")).unwrap()).unwrap();
    assert_eq!(kept["schema"], "cordon.waiting.v1");
    run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap();
    let output = |call: &Call| serde_json::from_str::<Value>(call.json()["output"].as_str().unwrap()).unwrap();
    let look = |id: &str| json!({"snapshotId": id, "volumeId": id.replace("snap", "vol"), "state": "completed", "percent": 100, "sizeGib": 8, "completedAt": null});
    assert_eq!(
        aws.calls_of(WAKE).iter().map(output).collect::<Vec<_>>(),
        [json!({"status": "completed", "percent": 100, "snapshots": [look(ONE), look(TWO)], "missing": [], "failure": null})]
    );
}
