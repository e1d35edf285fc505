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

#[test]
fn every_test_that_the_page_on_containment_names_is_there() {
    let page = std::fs::read_to_string(root().join("docs/containment.md")).unwrap();
    let table = page.split("## What others get wrong here").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let named: Vec<&str> = table.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
    assert!(named.len() >= 10, "{named:?}");
    let mut sources = String::new();
    for folder in ["crates", "tests"] {
        gather(&root().join(folder), &mut sources);
    }
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}: name the one that shows it");
    }
}

/// The code of every test, all files in one.
fn gather(folder: &std::path::Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
