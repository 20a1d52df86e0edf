use super::design::{Alteration, Design, Edge, Place};
use crate::dice::Dice;
use crate::geometry::{Rgb, V2, blend, capsule, dim, disc, ring, rounded_box, smooth, tinted, v2};
use crate::glyph;
use crate::noise::{Cloud, Grain};
use crate::surface::{Surface, Texel, reach};

/// Half the side of the board.
const HALF: f32 = 106.0;
const SOLDER: Rgb = [0.70, 0.71, 0.72];
const LEGEND: Rgb = [0.86, 0.88, 0.84];

/// What is mounted.
#[derive(Clone, Copy)]
enum Kind {
    /// Chip with leads along its long sides: half width, half height, leads per side.
    Chip(f32, f32, u8),
    Resistor,
    Capacitor,
    Can,
    Crystal,
}

const MOUNTED: [(Kind, V2); 15] = [
    (Kind::Chip(30.0, 19.0, 7), v2(-32.0, -42.0)),
    (Kind::Chip(21.0, 16.0, 5), v2(56.0, 20.0)),
    (Kind::Can, v2(66.0, -62.0)),
    (Kind::Can, v2(22.0, -62.0)),
    (Kind::Crystal, v2(-46.0, 8.0)),
    (Kind::Resistor, v2(-76.0, 40.0)),
    (Kind::Resistor, v2(-44.0, 40.0)),
    (Kind::Resistor, v2(-12.0, 40.0)),
    (Kind::Resistor, v2(-76.0, 60.0)),
    (Kind::Resistor, v2(66.0, -24.0)),
    (Kind::Capacitor, v2(-44.0, 60.0)),
    (Kind::Capacitor, v2(-12.0, 60.0)),
    (Kind::Capacitor, v2(10.0, 8.0)),
    (Kind::Capacitor, v2(30.0, -24.0)),
    (Kind::Resistor, v2(66.0, 60.0)),
];
const PADS: usize = 7;

/// Features: mounted components, then the pins of the header.
pub(super) const DESIGN: Design = Design {
    paint,
    backdrop: [0.44, 0.45, 0.47],
    features: MOUNTED.len() + PADS,
    movable: MOUNTED.len(),
    shift_px: (5.0, 8.0),
    shift_turn: 0.5,
    edge,
    max_turn: 0.07,
};

/// Bends an edge of the board or the leads of a chip.
fn edge(dice: &mut Dice) -> Edge {
    let side = dice.sign();
    let sideways = v2(dice.sign(), 0.0);
    match dice.below(3) {
        0 => Edge { at: v2(side * HALF, dice.range(-80.0, 80.0)), push: v2(-side, 0.0), reach_px: 24.0 },
        1 => Edge { at: v2(-32.0 + dice.range(-24.0, 24.0), -42.0 + side * 25.0), push: sideways, reach_px: 15.0 },
        _ => Edge { at: v2(56.0 + dice.range(-16.0, 16.0), 20.0 + side * 22.0), push: sideways, reach_px: 15.0 },
    }
}

const TRACES: [(V2, V2); 20] = [
    (v2(-60.0, -20.0), v2(-60.0, 8.0)),
    (v2(-50.0, -20.0), v2(-46.0, -6.0)),
    (v2(-22.0, -22.0), v2(-22.0, 26.0)),
    (v2(-22.0, 26.0), v2(-12.0, 36.0)),
    (v2(-12.0, -22.0), v2(-12.0, 0.0)),
    (v2(-12.0, 0.0), v2(2.0, 8.0)),
    (v2(18.0, 8.0), v2(34.0, 8.0)),
    (v2(40.0, 40.0), v2(40.0, 72.0)),
    (v2(40.0, 72.0), v2(20.0, 88.0)),
    (v2(48.0, 42.0), v2(48.0, 78.0)),
    (v2(64.0, 42.0), v2(64.0, 56.0)),
    (v2(-88.0, 40.0), v2(-96.0, 32.0)),
    (v2(-96.0, 32.0), v2(-96.0, -60.0)),
    (v2(-96.0, -60.0), v2(-74.0, -74.0)),
    (v2(-74.0, -74.0), v2(10.0, -74.0)),
    (v2(-76.0, 60.0), v2(-76.0, 84.0)),
    (v2(-44.0, 66.0), v2(-52.0, 84.0)),
    (v2(-12.0, 66.0), v2(-28.0, 84.0)),
    (v2(38.0, -24.0), v2(58.0, -24.0)),
    (v2(84.0, -24.0), v2(84.0, 12.0)),
];

/// Whether a point is close enough to a trace to be worth measuring.
fn is_near(p: V2, (a, b): &(V2, V2)) -> bool {
    const MARGIN: f32 = 3.0;
    p.x > a.x.min(b.x) - MARGIN
        && p.x < a.x.max(b.x) + MARGIN
        && p.y > a.y.min(b.y) - MARGIN
        && p.y < a.y.max(b.y) + MARGIN
}

fn pad_home(i: usize) -> V2 {
    #[expect(clippy::cast_precision_loss, reason = "seven pads")]
    let x = i as f32 * 16.0 - 76.0;
    v2(x, 89.0)
}

fn paint(surface: &mut Surface, dice: &mut Dice, alteration: &Alteration) {
    let mask = tinted([0.10, 0.36, 0.22], dice.tint(0.06, 0.04));
    let (cloud, grain) = (Cloud::new(dice.bits()), Grain::new(dice.bits()));
    let corner = |p: V2| disc(v2(p.x.abs(), p.y.abs()), v2(93.0, 93.0), 6.0);
    surface.fill(
        reach(V2::ZERO, 152.0),
        |p| rounded_box(p, v2(HALF, HALF), 7.0).max(-corner(p)),
        |p, depth, _| {
            let weave = (p.x * 1.1).sin() * (p.y * 1.1).sin();
            let tone = 1.0 + 0.05 * cloud.at(p * 0.025) + 0.02 * weave + 0.03 * grain.at(p * 0.6);
            let copper =
                TRACES.iter().filter(|t| is_near(p, t)).map(|(a, b)| capsule(p, *a, *b, 1.5)).fold(f32::MAX, f32::min);
            let copper = smooth(0.6, -0.6, copper);
            let annulus = smooth(0.8, -0.8, corner(p) - 4.5);
            let color = blend(dim(mask, tone), [0.22, 0.52, 0.33], copper * 0.75);
            let color = blend(color, [0.76, 0.68, 0.44], annulus);
            Texel::solid(color, 4.0 + 0.5 * copper + 0.4 * annulus - 1.5 * smooth(1.5, 0.0, depth), 0.20, 22.0)
        },
    );
    let nothing = Place { at: V2::ZERO, turn: 0.0 };
    for (i, (kind, home)) in MOUNTED.iter().enumerate() {
        footprint(surface, *kind, *home);
        let tone = dice.range(0.93, 1.07);
        if let Some(place) = alteration.place(i, *home) {
            mount(surface, *kind, &place, tone);
        }
    }
    strip(surface, alteration);
    print_text(surface, &nothing, &[('D', 52.0), ('1', 60.0), ('8', 68.0)], 88.0, 2.0);
    print_text(surface, &nothing, &[('R', -80.0), ('1', -73.0)], 26.0, 1.8);
    print_text(surface, &nothing, &[('U', -78.0), ('1', -71.0)], -42.0, 1.8);
    print_text(surface, &nothing, &[('C', 6.0), ('3', 13.0)], 60.0, 1.8);
}

/// Bare pads and the printed outline: seen where a component is missing or shifted.
fn footprint(surface: &mut Surface, kind: Kind, at: V2) {
    let (pads, half): (Vec<(V2, V2)>, V2) = match kind {
        Kind::Chip(w, h, leads) => (lead_homes(w, h, leads).map(|l| (l, v2(2.4, 4.6))).collect(), v2(w + 2.0, h - 3.0)),
        Kind::Resistor | Kind::Capacitor => {
            (vec![(v2(-8.5, 0.0), v2(4.6, 5.8)), (v2(8.5, 0.0), v2(4.6, 5.8))], v2(15.0, 8.0))
        }
        Kind::Can => (vec![(v2(-7.0, 0.0), v2(5.0, 4.0)), (v2(7.0, 0.0), v2(5.0, 4.0))], v2(18.0, 18.0)),
        Kind::Crystal => (vec![(v2(-11.0, 0.0), v2(4.0, 4.0)), (v2(11.0, 0.0), v2(4.0, 4.0))], v2(22.0, 10.5)),
    };
    let within = reach(at, half.len() + 12.0);
    surface.fill(
        within,
        |p| rounded_box(p - at, half, 1.5).abs() - 0.55,
        |_, _, below| Texel { color: blend(below.color, LEGEND, 0.8), ..*below },
    );
    surface.fill(
        within,
        |p| pads.iter().map(|(c, h)| rounded_box(p - at - *c, *h, 0.8)).fold(f32::MAX, f32::min),
        |_, _, below| Texel::solid(SOLDER, below.height + 0.5, 0.45, 30.0),
    );
}

fn lead_homes(w: f32, h: f32, leads: u8) -> impl Iterator<Item = V2> {
    (0..leads).flat_map(move |k| {
        let x = (f32::from(k) + 0.5) / f32::from(leads) * 2.0 * w - w;
        [v2(x, -h - 3.5), v2(x, h + 3.5)]
    })
}

fn mount(surface: &mut Surface, kind: Kind, place: &Place, tone: f32) {
    match kind {
        Kind::Chip(w, h, leads) => chip(surface, place, v2(w, h), leads, tone),
        Kind::Resistor => two_ended(surface, place, v2(12.5, 5.6), dim([0.11, 0.11, 0.12], tone), true),
        Kind::Capacitor => two_ended(surface, place, v2(12.0, 6.2), dim([0.62, 0.50, 0.34], tone), false),
        Kind::Can => can(surface, place),
        Kind::Crystal => crystal(surface, place),
    }
}

fn chip(surface: &mut Surface, place: &Place, half: V2, leads: u8, tone: f32) {
    let homes: Vec<V2> = lead_homes(half.x, half.y, leads).collect();
    let within = reach(place.at, half.len() + 10.0);
    surface.fill(
        within,
        |p| {
            let q = place.local(p);
            homes.iter().map(|c| rounded_box(q - *c, v2(1.8, 4.6), 0.7)).fold(f32::MAX, f32::min)
        },
        |_, depth, _| Texel::solid([0.74, 0.75, 0.76], 6.0 + smooth(0.0, 1.5, depth), 0.6, 30.0),
    );
    surface.fill(
        within,
        |p| rounded_box(place.local(p), half, 1.5),
        |p, depth, _| {
            let q = place.local(p);
            let dot = smooth(0.7, -0.7, disc(q, v2(6.5 - half.x, half.y - 6.5), 2.6));
            Texel::solid(
                dim([0.15, 0.15, 0.16], tone * (1.0 - 0.4 * dot)),
                9.0 + 2.5 * smooth(0.0, 3.0, depth),
                0.12,
                14.0,
            )
        },
    );
    print_text(surface, place, &[('K', -9.0), ('7', 0.0), ('2', 9.0)], 0.0, 2.3);
}

fn two_ended(surface: &mut Surface, place: &Place, half: V2, body: Rgb, with_code: bool) {
    surface.fill(
        reach(place.at, half.len() + 1.0),
        |p| rounded_box(place.local(p), half, 1.0),
        |p, depth, _| {
            let q = place.local(p);
            let end = smooth(half.x - 4.6, half.x - 3.8, q.x.abs());
            let code = if with_code { smooth(1.0, 0.2, (q.y.abs() - 1.2).max(q.x.abs() - 4.5)) } else { 0.0 };
            let color = blend(blend(body, [0.74, 0.75, 0.76], end), LEGEND, code * 0.75);
            Texel::solid(color, 6.0 + 2.2 * smooth(0.0, 2.0, depth), 0.12 + 0.35 * end, 22.0)
        },
    );
}

fn can(surface: &mut Surface, place: &Place) {
    surface.fill(
        reach(place.at, 17.0),
        |p| disc(place.local(p), V2::ZERO, 15.5),
        |p, depth, _| {
            let q = place.local(p);
            let stripe = smooth(7.0, 8.0, q.x) * smooth(1.0, 2.0, depth);
            let rim = smooth(2.4, 1.6, ring(q, 11.5, 12.0).abs());
            Texel::solid(
                blend([0.66, 0.67, 0.69], [0.16, 0.16, 0.20], stripe),
                10.0 + 4.0 * smooth(0.0, 3.0, depth) - 0.5 * rim,
                0.5,
                34.0,
            )
        },
    );
}

fn crystal(surface: &mut Surface, place: &Place) {
    surface.fill(
        reach(place.at, 22.0),
        |p| rounded_box(place.local(p), v2(19.0, 8.0), 7.9),
        |_, depth, _| Texel::solid([0.66, 0.67, 0.68], 7.0 + 3.0 * smooth(0.0, 4.0, depth), 0.5, 30.0),
    );
}

/// The header: a black strip with gold pins.
fn strip(surface: &mut Surface, alteration: &Alteration) {
    surface.fill(
        reach(v2(-28.0, 89.0), 62.0),
        |p| rounded_box(p - v2(-28.0, 89.0), v2(57.0, 8.5), 1.5),
        |_, depth, _| Texel::solid([0.12, 0.12, 0.13], 6.0 + 3.0 * smooth(0.0, 2.0, depth), 0.1, 14.0),
    );
    for i in 0..PADS {
        if let Some(place) = alteration.place(MOUNTED.len() + i, pad_home(i)) {
            surface.fill(
                reach(place.at, 8.0),
                |p| rounded_box(p - place.at, v2(4.6, 4.6), 1.4),
                |_, depth, _| Texel::solid([0.84, 0.69, 0.34], 9.5 + 3.0 * smooth(0.0, 2.5, depth), 0.5, 30.0),
            );
        }
    }
}

fn print_text(surface: &mut Surface, place: &Place, text: &[(char, f32)], y: f32, cell: f32) {
    for (letter, x) in text {
        let home = v2(*x, y).turned(place.turn) + place.at;
        surface.fill(
            reach(home, glyph::letter_reach(cell)),
            |p| glyph::letter((p - home).turned(-place.turn), *letter, cell),
            |_, _, below| Texel { color: blend(below.color, LEGEND, 0.75), ..*below },
        );
    }
}
