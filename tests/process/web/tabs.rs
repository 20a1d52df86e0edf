//! Many tabs of one browser: it opens at most six connections to a station.

use super::Shown;
use super::browser::Browser;
use crate::station::micro;

#[test]
fn eight_tabs_of_one_browser_show_the_state_and_share_one_stream() {
    let camera = "  - { id: cam0, source: { kind: rendered, seed: 3 }, trigger: { kind: free_run, every_ms: 500 } }";
    let shown = Shown::of(&micro(), camera, 2);
    let browser = Browser::start();
    let page = format!("http://127.0.0.1:{}/", shown.port);
    browser.open(&page);
    let mut tabs = vec![browser.tab()];
    for _ in 1..8 {
        tabs.push(browser.open_tab(&page));
    }
    for tab in &tabs {
        browser.turn_to(tab);
        browser
            .wait("document.getElementById('state').textContent.includes('ready') && document.title.includes('L1/S1')");
        browser.wait("cameras.get('cam0').parts.length > 0 && !document.body.classList.contains('gone')");
    }
    // A tab that goes takes nothing from the others.
    browser.close_tab();
    browser.turn_to(&tabs[0]);
    let seen = browser.run("return cameras.get('cam0').parts.at(-1).number");
    browser.wait(&format!("cameras.get('cam0').parts.at(-1).number > {seen}"));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn hidden_tab_without_a_shared_worker_releases_its_stream_and_takes_it_again() {
    let shown = Shown::start();
    let browser = Browser::start();
    browser.before_each_page("delete window.SharedWorker");
    browser.open(&format!("http://127.0.0.1:{}/", shown.port));
    browser.wait("link.events instanceof EventSource && document.title.includes('ready')");
    let turn = |state: &str| {
        browser.run(&format!(
            "window.stream = link.events ?? window.stream;
             Object.defineProperty(document, 'visibilityState', {{ value: '{state}', configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    turn("hidden");
    assert_eq!(
        browser.run("return [window.stream.readyState, link.events, document.title]").to_string(),
        "[2,null,\"… not updated · L1/S1\"]"
    );
    turn("visible");
    browser.wait("link.events.readyState === EventSource.OPEN && document.title.includes('ready')");
    assert_eq!(browser.run("return document.body.classList.contains('gone')"), false);
}
