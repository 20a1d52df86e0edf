//! Examples of every command, which stand at the end of its help and in its man page.

use std::fmt::Write;

/// One command line, and what it is for.
type Example = (&'static str, &'static str);

/// The names of a command below `diad`, its examples, and what else is to be known.
type Entry = (&'static [&'static str], &'static [Example], &'static str);

const EXAMPLES: &[Entry] = &[
    (
        &["demo"],
        &[
            ("diad demo", "40 parts, with a page at http://127.0.0.1:8080"),
            ("diad demo --parts 0 --mqtt 127.0.0.1:1883", "until Ctrl-C; subscribe with mosquitto_sub -v -t '#'"),
            ("diad demo --parts 450 --write-dataset parts", "a data set for eval and calibrate"),
        ],
        "",
    ),
    (
        &["run"],
        &[
            ("diad run --config /etc/diad/diad.yaml", "in the foreground; systemctl start diad runs it as a service"),
            ("DIAD_LOG=debug diad run --config diad.yaml", "with more in the log"),
        ],
        "Ctrl-C or SIGTERM stops it: open parts get their verdict first. SIGHUP reads the settings again.",
    ),
    (
        &["check"],
        &[
            ("diad check --config /etc/diad/diad.yaml", "every fault with file, line and what is allowed"),
            ("diad check --config diad.yaml --json", "for programs"),
        ],
        "It opens no camera and no broker: diad doctor --config does.",
    ),
    (
        &["inspect"],
        &[
            ("diad inspect part.png", "score and place, by the program's own model"),
            ("diad inspect part.png --thresholds thresholds.yaml --product washer", "with a verdict"),
            ("diad inspect part.png --out pictures", "reconstruction, heat map and overlay"),
        ],
        "",
    ),
    (
        &["eval"],
        &[
            ("diad eval parts", "image AUROC, pixel AUROC and AUPRO by product"),
            ("diad eval parts --thresholds thresholds.yaml --out report", "verdicts as well, and a page with plots"),
            ("diad eval parts --compare onnx/models/real-mc-joined --witnesses", "two models, and each witness"),
        ],
        "",
    ),
    (
        &["calibrate"],
        &[
            ("diad calibrate parts --max-false-reject 0.005 --confidence 0.95", "cut-offs from good parts"),
            ("diad calibrate parts --write thresholds.yaml --dry-run", "what would be written"),
            ("diad calibrate --ledger ledger.sqlite3 --since 2026-01-31", "from recorded parts"),
        ],
        "",
    ),
    (
        &["learn"],
        &[
            ("diad learn --product washer good", "for eval and inspect on this machine"),
            ("diad learn --product washer good --config /etc/diad/diad.yaml", "for the station too, while it runs"),
            ("diad learn --product washer more --add --config /etc/diad/diad.yaml", "parts beside those learnt before"),
            (
                "diad learn --product washer --from-ledger --config /etc/diad/diad.yaml",
                "parts marked as good; --yes accepts",
            ),
        ],
        "diad unlearn --product washer --undo takes the last step back.",
    ),
    (
        &["unlearn"],
        &[
            ("diad unlearn --product washer --config /etc/diad/diad.yaml", "the cut-offs before it was learnt"),
            ("diad unlearn --product washer --undo --config /etc/diad/diad.yaml", "back by one step"),
            ("diad unlearn --product washer --to sha256:4f1c --config /etc/diad/diad.yaml", "back to one bank"),
            ("diad unlearn --product washer --purge", "and delete the banks"),
        ],
        "",
    ),
    (
        &["products"],
        &[
            ("diad products --config /etc/diad/diad.yaml", "those of a station"),
            ("diad products --json", "those of this user, for programs"),
        ],
        "",
    ),
    (
        &["whatif"],
        &[
            (
                "diad whatif --thresholds new.yaml --config /etc/diad/diad.yaml",
                "which recorded verdicts would be others",
            ),
            ("diad whatif --thresholds new.yaml --ledger ledger.sqlite3 --since 2026-01-31", "those of some days"),
        ],
        "",
    ),
    (
        &["bench"],
        &[
            ("diad bench", "time of each stage and parts a second"),
            ("diad bench --model onnx/models/diad-tiny --provider cpu --seconds 30", "one model on one provider"),
        ],
        "",
    ),
    (
        &["ledger"],
        &[
            ("diad ledger stats --config /etc/diad/diad.yaml", "counts by product, verdict and reason"),
            ("diad ledger verify --config /etc/diad/diad.yaml", "is a part missing, double or damaged?"),
        ],
        "None of it changes the ledger, and the station may run.",
    ),
    (
        &["ledger", "stats"],
        &[
            ("diad ledger stats --config /etc/diad/diad.yaml", "counts by product, verdict and reason"),
            ("diad ledger stats --ledger copy.sqlite3 --json", "of a copy, for programs"),
        ],
        "",
    ),
    (
        &["ledger", "export"],
        &[
            ("diad ledger export --config /etc/diad/diad.yaml --out parts.csv", "for a spreadsheet"),
            ("diad ledger export --ledger copy.sqlite3 --out january.parquet --until 2026-02-01", "for a warehouse"),
        ],
        "",
    ),
    (
        &["ledger", "verify"],
        &[
            ("diad ledger verify --config /etc/diad/diad.yaml", "0 if the ledger is sound, 65 if it is not"),
            ("diad ledger verify --ledger copy.sqlite3 --json", "of a copy, for programs"),
        ],
        "",
    ),
    (&["cameras"], &[("diad cameras", "device, name, formats and sizes"), ("diad cameras --json", "for programs")], ""),
    (
        &["doctor"],
        &[
            ("sudo -u diad diad doctor --config /etc/diad/diad.yaml", "everything that the station opens, as its user"),
            ("diad doctor", "this machine alone: library, providers, cameras, disk"),
        ],
        "Ends with 0 if no check failed, else with the exit code of the first one that did. Every row is explained in \
         docs/doctor.md.",
    ),
];

/// Adds the examples to a command and to all below it. `path`: its names below `diad`.
pub(super) fn add(command: clap::Command, path: &[&str]) -> clap::Command {
    let command = match EXAMPLES.iter().find(|(names, ..)| *names == path) {
        Some((_, examples, note)) => command.after_help(text(examples, note)),
        None => command,
    };
    command.mut_subcommands(|below| {
        let name = below.get_name().to_owned();
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        add(below, &path)
    })
}

/// Each example with its purpose above it: a line of both is too long for a terminal.
fn text(examples: &[Example], note: &str) -> String {
    let mut text = String::from("Examples:");
    for (line, purpose) in examples {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  # {purpose}\n  {line}");
    }
    if !note.is_empty() {
        let _ = write!(text, "\n\n{note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    /// Every command of the program, with its names below `diad`, but for `help`.
    fn commands(command: &clap::Command, path: &[String]) -> Vec<(Vec<String>, clap::Command)> {
        let mut all = Vec::new();
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            let path: Vec<String> = path.iter().cloned().chain([below.get_name().to_owned()]).collect();
            all.extend(commands(below, &path));
            all.push((path, below.clone()));
        }
        all
    }

    #[test]
    fn help_of_every_command_ends_with_two_examples_or_more_of_it() {
        let all = commands(&Cli::definition(), &[]);
        assert!(all.len() >= EXAMPLES.len(), "{}", all.len());
        for (path, mut command) in all {
            let help = command.render_long_help().to_string();
            let line = format!("diad {}", path.join(" "));
            let examples = help.lines().filter(|text| text.starts_with("  ") && text.contains(&line)).count();
            assert!(examples >= 2, "{line}: {help}");
        }
    }

    #[test]
    fn every_example_is_taken_by_the_program() {
        for (path, examples, _) in EXAMPLES {
            for (line, _) in *examples {
                let words: Vec<&str> = line.split(' ').skip_while(|word| *word != "diad").collect();
                // `sudo -u diad diad doctor`.
                let words = if words.get(1) == Some(&"diad") { &words[1..] } else { &words[..] };
                assert!(words[1..].starts_with(path), "{line}");
                let taken = Cli::definition().try_get_matches_from(words);
                assert!(taken.is_ok(), "{line}: {}", taken.unwrap_err());
            }
        }
    }
}
