//! The completion scripts, run by the shells they are for; a shell that is not installed is passed by.

use std::env;
use std::path::Path;
use std::process::Command;

/// What a shell says to a script, or `None` where there is no such shell.
fn said(shell: &str, script: &str) -> Option<Vec<String>> {
    let folder = Path::new(env!("CARGO_BIN_EXE_zl")).parent().expect("the program has a folder");
    let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap_or_default());
    // A file that is no run file: nothing is asked of a run that happens to live.
    let output = Command::new(shell)
        .args(["-c", script])
        .env("PATH", path)
        .env("ZENDO_RUN", "/nonexistent")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let Ok(output) = output else {
        println!("{shell} is not installed");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{shell}: {errors}");
    Some(String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect())
}

/// Each line that is completed, and what it could become.
const CASES: &[(&str, &[&str])] = &[
    ("zl vc", &["vcpu-list"]),
    ("zl list --l", &["--long"]),
    ("zl create x.cfg mem", &["memory="]),
    ("zl completion ", &["bash", "fish", "zsh"]),
    ("zl create Carg", &["Cargo.toml"]),
    ("zl help unp", &["unpause"]),
    ("zl nonsense ", &[]),
];

#[test]
fn bash_completes_verbs_options_keys_and_files() {
    for (line, expected) in CASES {
        let script = format!(
            "source <(zl completion bash); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _zl; \
             [[ ${{#COMPREPLY[@]}} -eq 0 ]] || printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let Some(found) = said("bash", &script) else { return };
        assert_eq!(found, *expected, "{line}");
    }
}

#[test]
fn bash_replaces_only_what_is_behind_an_equals_sign() {
    // What bash would put behind the '=' that it takes for the end of a word.
    let script = "source <(zl completion bash); zl() { echo on_crash=destroy; }; \
        COMP_LINE='zl create x on_crash=d'; COMP_POINT=${#COMP_LINE}; _zl; echo ${COMPREPLY[0]}";
    let Some(found) = said("bash", script) else { return };
    assert_eq!(found, ["destroy"]);
}

#[test]
fn fish_completes_the_same() {
    for (line, expected) in CASES {
        let script = format!("zl completion fish | source; complete -C '{line}'");
        let Some(found) = said("fish", &script) else { return };
        assert_eq!(found, *expected, "{line}");
    }
}

#[test]
fn zsh_completes_the_same() {
    for (line, expected) in CASES {
        // Outside of its line editor zsh has no completion system, so its two ends are replaced.
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "compdef() {{ : }}; result=(); \
             compadd() {{ while [[ $1 != -- ]]; do shift; done; shift; result+=(\"$@\") }}; \
             _files() {{ result+=(${{words[CURRENT]}}*(N)) }}; \
             source <(zl completion zsh); words=({}); CURRENT={}; _zl; \
             result=(\"${{(@)result:#}}\"); (( $#result == 0 )) || print -l -- \"${{(@)result}}\"",
            words.iter().map(|word| format!("'{word}' ")).collect::<String>(),
            words.len()
        );
        let Some(found) = said("zsh", &script) else { return };
        assert_eq!(found, *expected, "{line}");
    }
}
