//! Every seed goes through its target, and the targets whose seeds are documents read them all.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_passes() {
    let targets: [(&str, fn(&[u8])); 8] = [
        ("finding", cordon_fuzz::finding),
        ("policy", cordon_fuzz::policy),
        ("plan", cordon_fuzz::plan),
        ("record", cordon_fuzz::record),
        ("manifest", cordon_fuzz::manifest),
        ("collected", cordon_fuzz::collected),
        ("wave", cordon_fuzz::wave),
        ("case", cordon_fuzz::case),
    ];
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let mut seeds = 0;
        for seed in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            target(&fs::read(seed.unwrap().path()).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}
