use crate::aws::Aws;
use crate::{out, said};

#[test]
fn each_shell_gets_the_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = Aws::new().cordon(&["completions", shell]);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let options = ["--waive", "--rejoin-group", "--vpc", "--containment"];
        for command in ["respond", "approve", "release", "prepare", "doctor", "export", "verify"].into_iter().chain(options) {
            assert!(text.contains(command.trim_start_matches("--")), "{shell}: {command}");
        }
    }
    assert_eq!(Aws::new().cordon(&["completions", "sh"]).status.code(), Some(64));
}
