//! The page in every window it is looked at in: nothing is cut off, and the verdict can be read from three metres.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Shown;
use super::browser::Browser;
use crate::station::micro;

/// Width and height of a window, and whether it is touched.
const WINDOWS: [(u64, u64, bool); 6] = [
    (1280, 800, false),
    (1366, 768, false),
    (1920, 1080, false),
    (3840, 2160, false),
    (820, 1180, true),
    (390, 844, true),
];
const COUNTS: [u64; 6] = [1, 2, 3, 4, 6, 8];
/// States that the page shows, each with a number of problems.
const STATES: [(&str, u64); 6] =
    [("ready", 0), ("degraded", 1), ("degraded", 6), ("starting", 0), ("offline", 1), ("gone", 0)];
/// A screen of 1080 lines with two cameras: the letters of a verdict, as a share of its height.
const LEAST_VERDICT_SHARE: f64 = 0.03;

struct Looked {
    browser: Browser,
    faults: Vec<String>,
    arrangements: u32,
    _shown: Shown,
}

impl Looked {
    fn start() -> Self {
        let camera =
            "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 1000 } }";
        let shown = Shown::of(&micro(), camera, 1);
        let browser = Browser::start();
        browser.open(&format!("http://127.0.0.1:{}/", shown.port));
        browser.wait("status && cameras.size");
        let put = browser.command("Runtime.evaluate", &json!({ "expression": include_str!("layout.js") }));
        assert!(put.get("exceptionDetails").is_none(), "{put}");
        Self { browser, faults: Vec::new(), arrangements: 0, _shown: shown }
    }

    fn window(&self, (width, height, is_touched): (u64, u64, bool), theme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_touched });
        self.browser.command("Emulation.setDeviceMetricsOverride", &metrics);
        self.browser.command("Emulation.setTouchEmulationEnabled", &json!({ "enabled": is_touched }));
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.browser.command("Emulation.setEmulatedMedia", &features);
    }

    /// Arranges a station, and notes what is wrong with its page.
    fn look(&mut self, (width, height, is_touched): (u64, u64, bool), station: &Value) {
        self.arrangements += 1;
        let touch = json!({ "isTouch": is_touched });
        let seen = self.browser.run(&format!("arrange({station}); return [layoutFaults({touch}), verdictShare()]"));
        let faults = seen[0].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap().to_owned());
        let share = seen[1].as_f64().unwrap();
        let small = (height == 1080 && station["count"] == 2 && share < LEAST_VERDICT_SHARE)
            .then(|| format!("a verdict has {share} of the height"));
        self.faults.extend(faults.chain(small).map(|fault| format!("{width}×{height} {station}: {fault}")));
    }

    /// What axe-core, where it was fetched, calls serious or worse.
    fn look_with_axe(&mut self, place: &str) {
        let run =
            "axe.run().then(({ violations }) => violations.filter(({ impact }) => /serious|critical/.test(impact))
            .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120))}`))";
        let asked = json!({ "expression": run, "awaitPromise": true, "returnByValue": true });
        let answer = self.browser.command("Runtime.evaluate", &asked);
        let found = answer["result"]["value"].as_array().unwrap_or_else(|| panic!("{place}: {answer}"));
        self.faults.extend(found.iter().map(|fault| format!("{place}: {fault}")));
    }

    fn end(self, least: u32) {
        assert!(self.arrangements >= least, "{}", self.arrangements);
        let count = self.faults.len();
        assert!(self.faults.is_empty(), "{count} faults: {:#?}", &self.faults[..count.min(30)]);
    }
}

fn station(count: u64, is_long: bool, first: usize, (state, problems): (&str, u64)) -> Value {
    json!({ "count": count, "isLong": is_long, "first": first, "state": state, "problems": problems })
}

/// Accessibility, in both themes, of a healthy station and of one with problems.
#[test]
fn axe_finds_nothing_serious_in_any_view_and_theme() {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/axe/axe.min.js");
    let Ok(axe) = fs::read_to_string(&axe) else {
        eprintln!("skipped: {} is missing; make setup-axe fetches it", axe.display());
        return;
    };
    let mut looked = Looked::start();
    looked.browser.command("Runtime.evaluate", &json!({ "expression": axe }));
    for theme in ["light", "dark"] {
        for view in ["line", "review", "whatif"] {
            looked.window(WINDOWS[0], theme);
            looked.browser.run(&format!("location.hash = '{view}'"));
            looked.browser.wait(&format!("!document.getElementById('{view}').hidden"));
            for state in STATES {
                looked.look(WINDOWS[0], &station(4, false, 0, state));
                looked.look_with_axe(&format!("{theme} {view} {state:?}"));
            }
        }
    }
    looked.end(36);
}

/// Every window and name length; cameras, verdicts, states and themes in turn.
#[test]
fn no_text_is_cut_off_in_a_sample_of_windows_and_stations() {
    let mut looked = Looked::start();
    let mut turn = 0;
    for (index, window) in WINDOWS.into_iter().enumerate() {
        looked.window(window, if index % 2 == 0 { "light" } else { "dark" });
        for is_long in [false, true] {
            for count in [1, 2, 8] {
                looked.look(window, &station(count, is_long, turn % 4, STATES[turn % STATES.len()]));
                turn += 1;
            }
        }
    }
    looked.end(36);
}

#[test]
#[ignore = "minutes; `make test-layout`"]
fn no_text_is_cut_off_in_any_window_and_station() {
    let mut looked = Looked::start();
    for window in WINDOWS {
        for theme in ["light", "dark"] {
            looked.window(window, theme);
            for count in COUNTS {
                for is_long in [false, true] {
                    for state in STATES {
                        (0..4).for_each(|first| looked.look(window, &station(count, is_long, first, state)));
                    }
                }
            }
        }
    }
    eprintln!("{} arrangements", looked.arrangements);
    looked.end(3456);
}

/// The other views, with what a person meets there first.
#[test]
fn review_and_what_if_fit_every_window() {
    let mut looked = Looked::start();
    for window in WINDOWS {
        looked.window(window, "light");
        for view in ["review", "whatif"] {
            looked.browser.run(&format!("location.hash = '{view}'"));
            looked.browser.wait(&format!("!document.getElementById('{view}').hidden"));
            looked.look(window, &station(2, false, 0, STATES[0]));
        }
    }
    looked.end(12);
}
