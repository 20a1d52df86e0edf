//! The dashboard as a person meets it, in a real browser.

use std::fs;

use serde_json::Value;

use super::Shown;
use super::browser::Browser;
use super::client::get;
use super::{CAMERA, port};
use crate::broker::{Broker, wait_until};
use crate::station::Station;

#[test]
fn dashboard_shows_the_line_live_and_takes_a_persons_word_by_one_key() {
    let shown = Shown::judging();
    shown.kept();
    let saved = "default: { review: 0.0451234, reject: 0.0512345 }\n";
    fs::write(shown.station.folder.path().join("thresholds.yaml"), saved).unwrap();
    let browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{}/", shown.port));

    // The line: state, the last part with its picture, numbers that go on.
    browser.wait("document.getElementById('state').textContent.includes('ready')");
    browser.wait("document.querySelector('#camera-cam0 img').naturalWidth > 0");
    browser.wait("/PASS|REVIEW|REJECT/.test(document.querySelector('#camera-cam0 .verdict').textContent)");
    let parts = || {
        let cell = "return Number([...document.querySelectorAll('#totals div')].find((d) => d.firstChild.textContent === 'parts in').lastChild.textContent)";
        browser.run(cell).as_u64().unwrap()
    };
    let before = parts();
    wait_until("more parts", || parts() > before + 10);
    browser.wait("document.querySelectorAll('#camera-cam0 .trace rect').length > 20");
    browser.wait("/gear/.test(document.querySelector('#hours tbody tr').textContent)");
    // What stands beside the picture is of its part: both change together, so ask for both at once.
    browser.wait("/^#[0-9]+ · [a-z]+$/.test(document.querySelector('#camera-cam0 small').textContent)");

    // Review: one key says it, one takes it back.
    browser.key("2");
    browser.wait("!document.getElementById('review').hidden && document.querySelectorAll('#queue li').length > 3");
    browser.wait("document.querySelectorAll('#looked img').length > 0 && [...document.querySelectorAll('#looked img')].every((i) => i.naturalWidth > 0)");
    // The answer to a question that was asked before the word comes after it.
    browser.run(
        "window.held = []; window.marks = 0; const real = window.fetch;
         window.fetch = async (path, request) => {
           if (path.endsWith('/mark')) window.marks++;
           const answer = await real(path, request);
           if (held && path.includes('queue=true')) await new Promise((release) => held.push(release));
           return answer;
         };
         loadReview().then(() => { window.loaded = true; });",
    );
    browser.wait("held.length > 0");
    let key = browser.run("return review.parts[review.at].key");
    let mark = || get(shown.port, &format!("/api/v1/parts/{}", key.as_str().unwrap())).json()["mark"].clone();
    browser.key("f");
    wait_until("the mark", || mark() == "false_reject");
    browser.wait(&format!("review.parts.every((part) => part.key !== {key})"));
    browser.run("const waiting = held; window.held = null; waiting.forEach((release) => release())");
    browser.wait("window.loaded");
    let gone = format!("return review.parts.every((part) => part.key !== {key})");
    assert_eq!(browser.run(&gone), true, "an answer from before the word brings the part back");
    browser.key("u");
    wait_until("no mark", || mark().is_null());
    browser.wait("!review.saying");
    // A key that is held down, and one pressed while the station keeps the last word, say nothing.
    let pressed = browser.run(
        "const before = marks; const press = (repeat) => document.dispatchEvent(new KeyboardEvent('keydown', { key: 'f', repeat }));
         press(true); press(false); press(false); press(true); return marks - before",
    );
    assert_eq!(pressed, 1);
    browser.wait("!review.saying");
    browser.key("u");
    browser.wait("!review.saying && review.said.length === 0");
    // The part that is looked at stays, whatever an answer has.
    browser.wait("!review.looking");
    browser.run(
        "window.loaded = false;
         window.fetch = async (path) => new Response(JSON.stringify(path.includes('queue=true')
           ? { parts: review.parts.slice(1, 4), looked_at: 3, newest: 1, next: null } : { ...review.parts[review.at], mark: null }));
         window.before = review.parts[review.at = 0].key; loadReview().then(() => { window.loaded = true; });",
    );
    browser.wait("window.loaded && review.parts.length === 4 && review.parts[review.at].key === window.before");
    // An error is shown, and what was said last is not forgotten by it.
    browser.run("window.fetch = async () => new Response('{\"error\":\"not now\"}', { status: 503 }); review.said.push({ part: review.parts[0], at: 0 });");
    browser.key("u");
    browser.wait("document.getElementById('complaint').textContent === 'not now'");
    assert_eq!(browser.run("return review.said.length"), 1);
    browser.open("about:blank");
    browser.open(&format!("http://127.0.0.1:{}/", shown.port));
    browser.wait("status && cameras.size");

    // What if: a slider asks, a button writes, the line takes it.
    browser.key("3");
    browser.wait("document.getElementById('product').value === 'gear'");
    let set = |id: &str, value: &str| {
        browser.run(&format!(
            "const e = document.getElementById('{id}-at'); e.value = {value}; e.dispatchEvent(new Event('input'))"
        ));
    };
    set("reject", "0.06");
    browser.wait("/rejects more/.test(document.getElementById('told').textContent)");
    browser.wait("[...document.querySelectorAll('#answer td')].some((cell) => cell.textContent === 'gear')");
    let write =
        || browser.run("document.getElementById('written').textContent = ''; document.getElementById('write').click()");
    let file = shown.station.folder.path().join("thresholds.yaml");
    write();
    browser.wait("/^in force: sha256/.test(document.getElementById('written').textContent)");
    // The slider that nobody touched has not moved by a digit.
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("gear: { review: 0.0451234, reject: 0.0"), "{text}");
    assert!(browser.run("return document.getElementById('review-now').textContent") == "in force: 0.0451");

    // Whoever moved a slider before somebody else saved is told, and writes nothing.
    set("review", "0.03");
    let others = format!("{saved}products:\n  gear: {{ review: 0.0451234, reject: 0.07 }}\n");
    fs::write(&file, &others).unwrap();
    browser.wait("document.getElementById('reject-now').textContent === 'in force: 0.0700'");
    write();
    browser.wait("/somebody has changed/.test(document.getElementById('written').textContent)");
    assert_eq!(fs::read_to_string(&file).unwrap(), others);
    browser.run("document.getElementById('again').click()");
    // The default, for all that have nothing of their own.
    browser.run("const e = document.getElementById('product'); e.value = ''; e.dispatchEvent(new Event('change'))");
    set("reject", "0.09");
    write();
    browser.wait("/^in force: sha256/.test(document.getElementById('written').textContent)");
    browser.wait("/judged/.test(document.getElementById('told').textContent)");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("default: { review: 0.0451234, reject: 0.0") && !text.starts_with(saved), "{text}");
    assert!(text.contains("gear: { review: 0.0451234, reject: 0.07 }"), "{text}");

    // A save that is refused is shown, and goes away.
    fs::write(&file, "default: { review: 0.5, reject: 0.4 }\n").unwrap();
    browser.wait("/thresholds.*review 0.5 is above reject 0.4/.test(document.getElementById('problems').textContent)");
    fs::write(&file, text).unwrap();
    browser.wait("document.getElementById('problems').textContent === ''");

    let outside = "return performance.getEntriesByType('resource').filter((e) => !e.name.startsWith(location.origin) && !e.name.startsWith('blob:') && !e.name.startsWith('data:')).length";
    assert_eq!(browser.run(outside), Value::from(0), "nothing comes from elsewhere");
    // But for the refusals above.
    let complaints: Vec<_> = browser.complaints().into_iter().filter(|words| !words.contains("409")).collect();
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn dashboard_says_when_the_station_is_gone_and_comes_back_with_it() {
    let mut shown = Shown::start();
    let settings = shown.station.folder.path().join("diad.yaml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("127.0.0.1:0", &format!("127.0.0.1:{}", shown.port))).unwrap();
    let browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{}/", shown.port));
    browser.wait("document.getElementById('state').textContent.includes('ready')");
    // A connection that ends after its time is no news: the browser comes back.
    browser.run("link.events.dispatchEvent(new Event('error'))");
    assert!(browser.run("return document.getElementById('state').textContent").as_str().unwrap().contains("ready"));
    let gone = "document.getElementById('state').textContent.includes('no word from the station') && document.body.classList.contains('gone')";
    let back =
        "document.getElementById('state').textContent.includes('ready') && !document.body.classList.contains('gone')";
    // A link that hangs makes no error.
    shown.station.signal("STOP");
    browser.wait(gone);
    shown.station.signal("CONT");
    browser.wait(back);
    let twice = "return [...cameras.values()].some(({ parts }) => new Set(parts.map(({ number }) => number)).size < parts.length)";
    assert_eq!(browser.run(twice), false);
    shown.station.kill();
    browser.wait(gone);
    shown.station.restart();
    browser.wait(back);
    browser.wait("/PASS|REVIEW|REJECT/.test(document.querySelector('#camera-cam0 .verdict').textContent)");
}

/// What the gate gets is what the page calls ready.
#[test]
fn page_title_icon_and_readyz_agree_when_the_broker_goes_away() {
    let mut broker = Broker::start();
    let station = Station::start(&broker, CAMERA);
    let port = port(&station);
    let browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{port}/"));
    let all = |sign: &str, state: &str| {
        browser.wait(&format!(
            "document.getElementById('state').textContent === '{sign} {state}' && document.title === '{sign} {state} · L1/S1' \
             && document.getElementById('icon').dataset.state === '{state}'"
        ));
        wait_until("the same word", || get(port, "/readyz").text() == format!("{state}\n"));
    };
    all("✓", "ready");
    broker.kill();
    all("!", "degraded");
    // Since when, what it means, and what to do.
    browser.wait("/broker since [0-9:]{8}: no broker: the gate gets no verdict; .*check the broker, the network and mqtt.url/.test(document.getElementById('problems').textContent)");
    assert_eq!(browser.run("return document.querySelectorAll('#problems li').length"), 1, "one sentence for one fault");
    let share = "return document.getElementById('problems').getBoundingClientRect().height / innerHeight";
    assert!(browser.run(share).as_f64() < Some(0.1));
    broker.restart();
    all("✓", "ready");
}
