//! Documents that are made from code say what the code says.

use journeys::cloud::root;
use journeys::diagram::mermaid;

#[test]
fn the_diagram_in_the_readme_is_the_definition() {
    let definition = std::fs::read_to_string(root().join("statemachine/incident.asl.json")).unwrap();
    let diagram = mermaid(&serde_json::from_str(&definition).unwrap());
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("```mermaid\n").expect("README has a mermaid block");
    let (shown, after) = rest.split_once("```").expect("the mermaid block ends");
    if shown != diagram && std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}```mermaid\n{diagram}```{after}")).unwrap();
        return;
    }
    assert!(shown == diagram, "the definition has changed: run `make diagram` and commit README.md");
}
