use proptest::prelude::*;

use super::*;
use crate::map::AnomalyMap;
use crate::score::{PeakFinder, ScoreRule};
use crate::testing::{Golden, Near};

const SIDE: u32 = 256;
const PIXELS: usize = (SIDE * SIDE) as usize;

fn aupro(maps: &[MaskedMap<'_>], rule: AuproRule) -> Result<f64, MetricError> {
    RegionOverlap::try_new(maps)?.area(rule)
}

fn ranking(values: &[f32], bad: &[bool]) -> Result<Ranking, MetricError> {
    Ranking::try_new(values.iter().copied().zip(bad.iter().copied()))
}

#[test]
fn figures_agree_with_the_golden_table() {
    let Some(mut golden) = Golden::open("metrics.npz") else { return };
    let maps: Vec<f32> = golden.values("preds");
    let masks: Vec<bool> = golden.values::<f32>("masks").into_iter().map(|v| v > 0.0).collect();
    let table: Vec<f64> = golden.values("values");
    // Order of the golden table: eleven figures a class, by name.
    let [appx, apsp, f1px, f1sp, max_sp, pixel, pro] = [0, 1, 4, 5, 6, 8, 9];
    // Sums of up to 800 000 terms; the reference stores some of its steps as f32.
    let near = Near::abs(1e-6);
    for (class, figures) in table.chunks_exact(11).take(2).enumerate() {
        let range = class * 12 * PIXELS..(class + 1) * 12 * PIXELS;
        let (maps, masks) = (&maps[range.clone()], &masks[range]);
        let pixels = ranking(maps, masks).unwrap();
        let got = [pixels.average_precision(), pixels.f1_max(), pixels.auroc()];
        near.check("pixels", &got, &[figures[appx], figures[f1px], figures[pixel]]);

        let rule = ScoreRule::try_new(8, 8).unwrap();
        let mut finder = PeakFinder::try_new(rule, SIDE, SIDE).unwrap();
        let images = Ranking::try_new(maps.chunks_exact(PIXELS).zip(masks.chunks_exact(PIXELS)).map(|(map, mask)| {
            let map = AnomalyMap::try_new(SIDE, SIDE, map.to_vec()).unwrap();
            (finder.find(&map).unwrap().score.get(), mask.contains(&true))
        }))
        .unwrap();
        let got = [images.average_precision(), images.f1_max(), images.auroc()];
        near.check("images", &got, &[figures[apsp], figures[f1sp], figures[max_sp]]);

        let pairs: Vec<MaskedMap<'_>> = maps
            .chunks_exact(PIXELS)
            .zip(masks.chunks_exact(PIXELS))
            .map(|(map, mask)| MaskedMap::try_new(SIDE, SIDE, map, mask).unwrap())
            .collect();
        near.check("aupro", &[aupro(&pairs, AuproRule::Reference).unwrap()], &[figures[pro]]);
        let overlap = RegionOverlap::try_new(&pairs).unwrap();
        let field = overlap.area(AuproRule::Field).unwrap();
        // Another rule, the same curve: near, but not equal.
        assert!(Near::abs(0.1).equal(field, figures[pro]), "{field}");

        // Leaving out detours shorter than a step misses at most half a step's width along the whole curve.
        let drawn = [Curve::roc(&pixels, 200).area(), overlap.curve(200).area() / 0.3];
        Near::abs(0.01).check("drawn", &drawn, &[figures[pixel], field]);
        let [steps, all] = [200, usize::MAX].map(|most| Curve::precision_recall(&pixels, most));
        near.check("precision", &[steps.area(), all.area()], &[figures[appx]; 2]);
        assert!(steps.points().len() <= 202 && Curve::roc(&pixels, 200).points().len() <= 202);
        let whole = [Curve::roc(&images, usize::MAX).area(), overlap.curve(usize::MAX).area() / 0.3];
        near.check("whole", &whole, &[figures[max_sp], field]);
    }
}

#[test]
fn figures_of_known_rankings_are_known() {
    let (t, f) = (true, false);
    for (values, bad, auroc, precision, f1) in [
        (vec![1.0, 2.0, 3.0, 4.0], vec![f, f, t, t], 1.0, 1.0, 1.0),
        (vec![1.0, 2.0, 3.0, 4.0], vec![t, t, f, f], 0.0, 5.0 / 12.0, 2.0 / 3.0),
        (vec![1.0, 1.0, 1.0, 1.0], vec![f, t, f, t], 0.5, 0.5, 2.0 / 3.0),
        (vec![0.0, -0.0], vec![f, t], 0.5, 0.5, 2.0 / 3.0),
        (vec![0.1, 0.4, 0.35, 0.8], vec![f, f, t, t], 0.75, 5.0 / 6.0, 0.8),
        (vec![-3.0, -1.0, -2.0], vec![f, t, f], 1.0, 1.0, 1.0),
    ] {
        let ranking = ranking(&values, &bad).unwrap();
        let got = [ranking.auroc(), ranking.average_precision(), ranking.f1_max()];
        // A handful of f64 divisions.
        Near::abs(1e-12).check("figures", &got, &[auroc, precision, f1]);
    }
}

#[test]
fn cuts_run_from_nothing_missed_to_all_caught() {
    let ranking = ranking(&[1.0, 2.0, 2.0, -5.0], &[false, true, false, true]).unwrap();
    let cuts: Vec<_> = ranking.cuts().map(|cut| (cut.value, cut.caught, cut.mistaken)).collect();
    assert_eq!(cuts, [(2.0, 1, 1), (1.0, 1, 2), (-5.0, 2, 2)]);
    assert_eq!((ranking.bad(), ranking.good()), (2, 2));
}

#[test]
fn figures_that_are_undefined_are_named() {
    assert!(matches!(ranking(&[1.0, 2.0], &[true; 2]), Err(MetricError::OneClass { bad: 2, total: 2 })));
    assert!(matches!(ranking(&[1.0, 2.0], &[false; 2]), Err(MetricError::OneClass { bad: 0, total: 2 })));
    assert!(matches!(ranking(&[], &[]), Err(MetricError::OneClass { bad: 0, total: 0 })));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(matches!(ranking(&[1.0, bad], &[true, false]), Err(MetricError::NonFinite { index: 1, .. })));
        let refused = aupro(&[MaskedMap::try_new(2, 1, &[1.0, bad], &[true, false]).unwrap()], AuproRule::Field);
        assert!(matches!(refused, Err(MetricError::NonFinite { index: 1, .. })));
    }
    for (mask, count) in [([false; 2], 0), ([true; 2], 2)] {
        let maps = [MaskedMap::try_new(2, 1, &[1.0, 2.0], &mask).unwrap()];
        assert_eq!(aupro(&maps, AuproRule::Field), Err(MetricError::OneClass { bad: count, total: 2 }));
    }
    assert_eq!(aupro(&[], AuproRule::Field), Err(MetricError::OneClass { bad: 0, total: 0 }));
    let flat = [MaskedMap::try_new(2, 1, &[1.0, 1.0], &[true, false]).unwrap()];
    assert!(matches!(aupro(&flat, AuproRule::Reference), Err(MetricError::Coarse { .. })));
    assert!(MaskedMap::try_new(2, 2, &[0.0; 4], &[true; 3]).is_err());
}

#[test]
fn aupro_counts_every_region_alike() {
    // Two regions joined by a corner are one (3 px), the single pixel is another; 12 px are outside.
    let mask = "\
        xx..\
        ..x.\
        ....\
        x...";
    let mask: Vec<bool> = mask.chars().map(|c| c == 'x').collect();
    let mut values = [0.0; 16];
    (values[0], values[1], values[6]) = (9.0, 9.0, 9.0);
    let maps = [MaskedMap::try_new(4, 4, &values, &mask).unwrap()];
    // One region is caught at once, the other with everything else: from (0, 0.5) straight to (1, 1).
    let want = (0.5 + 0.5 + 0.5 * 0.3) / 2.0;
    assert!(Near::abs(1e-12).equal(aupro(&maps, AuproRule::Field).unwrap(), want));
}

#[test]
fn aupro_of_a_perfect_map_is_one_and_of_a_flat_one_is_the_diagonal() {
    let mask: Vec<bool> = (0..100).map(|i| i % 37 < 3).collect();
    let perfect: Vec<f32> = mask.iter().map(|&bad| f32::from(u8::from(bad))).collect();
    for (values, want) in [(perfect, 1.0), (vec![0.4; 100], 0.15)] {
        let maps = [MaskedMap::try_new(10, 10, &values, &mask).unwrap()];
        assert!(Near::abs(1e-12).equal(aupro(&maps, AuproRule::Field).unwrap(), want), "{want}");
    }
}

fn points(curve: &Curve) -> Vec<(f64, f64)> {
    curve.points().iter().map(|point| (point.x, point.y)).collect()
}

#[test]
fn curves_of_a_small_ranking_are_those_drawn_by_hand() {
    let (t, f) = (true, false);
    for (values, bad, roc, precision_recall) in [
        // From the worst: bad, good and bad alike, good.
        (
            vec![0.9, 0.5, 0.5, 0.1],
            vec![t, f, t, f],
            vec![(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)],
            vec![(0.0, 1.0), (0.5, 1.0), (0.5, 2.0 / 3.0), (1.0, 2.0 / 3.0)],
        ),
        // Good ones before the first bad one add nothing to precision and recall.
        (
            vec![0.9, 0.8, 0.7],
            vec![f, t, f],
            vec![(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (1.0, 1.0)],
            vec![(0.0, 0.5), (1.0, 0.5)],
        ),
        (vec![0.3; 4], vec![t, f, f, f], vec![(0.0, 0.0), (1.0, 1.0)], vec![(0.0, 0.25), (1.0, 0.25)]),
    ] {
        let ranking = ranking(&values, &bad).unwrap();
        let curves = [Curve::roc(&ranking, 200), Curve::precision_recall(&ranking, 200)];
        assert_eq!(curves.each_ref().map(points), [roc, precision_recall]);
        let areas = curves.map(|curve| curve.area());
        Near::abs(1e-12).check("areas", &areas, &[ranking.auroc(), ranking.average_precision()]);
    }
}

#[test]
fn overlap_curve_ends_at_the_limit() {
    // One region of two pixels, ten outside: a half of the region, then 2 outside with the other half, then the rest.
    let mut values = [0.1; 12];
    (values[0], values[1], values[5], values[6]) = (0.9, 0.5, 0.5, 0.5);
    let mask: Vec<bool> = (0..12).map(|i| i < 2).collect();
    let overlap = RegionOverlap::try_new(&[MaskedMap::try_new(12, 1, &values, &mask).unwrap()]).unwrap();
    let curve = overlap.curve(200);
    assert_eq!(points(&curve), [(0.0, 0.0), (0.0, 0.5), (0.2, 1.0), (0.3, 1.0)]);
    assert!(Near::abs(1e-12).equal(curve.area() / 0.3, overlap.area(AuproRule::Field).unwrap()));
}

#[test]
fn mean_of_curves_keeps_their_jumps_and_has_the_mean_area() {
    let perfect = Curve::roc(&ranking(&[1.0, 0.0], &[true, false]).unwrap(), 200);
    let blind = Curve::roc(&ranking(&[0.0, 0.0], &[true, false]).unwrap(), 200);
    let mean = Curve::mean(&[&perfect, &blind], 200).unwrap();
    assert_eq!(points(&mean), [(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)]);
    let steps = Curve::precision_recall(&ranking(&[1.0, 0.5, 0.1], &[true, false, true]).unwrap(), 200);
    let both = Curve::mean(&[&steps, &perfect], usize::MAX).unwrap();
    assert!(Near::abs(1e-12).equal(both.area(), f64::midpoint(steps.area(), perfect.area())));
    assert_eq!(both.points()[0], Point { x: 0.0, y: 0.5 });
    assert_eq!(Curve::mean(&[], 200), None);
}

proptest! {
    #[test]
    fn order_key_keeps_the_order_of_finite_floats(a in prop::num::f32::NORMAL, b in prop::num::f32::NORMAL) {
        let (left, right) = (order_key(0, a).unwrap(), order_key(0, b).unwrap());
        prop_assert_eq!(left.cmp(&right), a.total_cmp(&b));
        prop_assert_eq!(ordered_value(left).to_bits(), a.to_bits());
    }

    #[test]
    fn figures_do_not_change_under_a_rising_map(
        pairs in prop::collection::vec((0_u8..40, any::<bool>()), 2..200),
    ) {
        prop_assume!(pairs.iter().any(|p| p.1) && pairs.iter().any(|p| !p.1));
        let plain = Ranking::try_new(pairs.iter().map(|&(v, bad)| (f32::from(v), bad))).unwrap();
        let risen = Ranking::try_new(pairs.iter().map(|&(v, bad)| (f32::from(v).powi(3) - 7.0, bad))).unwrap();
        let figures = |r: &Ranking| [r.auroc(), r.average_precision(), r.f1_max()];
        Near::abs(0.0).check("figures", &figures(&risen), &figures(&plain));
        prop_assert!(figures(&plain).iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn curves_have_the_areas_of_the_figures_and_few_points_when_thinned(
        pairs in prop::collection::vec((any::<u16>(), any::<bool>()), 2..600),
    ) {
        prop_assume!(pairs.iter().any(|p| p.1) && pairs.iter().any(|p| !p.1));
        let ranking = Ranking::try_new(pairs.iter().map(|&(v, bad)| (f32::from(v), bad))).unwrap();
        let want = [ranking.auroc(), ranking.average_precision()];
        for (most, near) in [(usize::MAX, 1e-9), (50, 0.04)] {
            let curves = [Curve::roc(&ranking, most), Curve::precision_recall(&ranking, most)];
            Near::abs(near).check("areas", &curves.each_ref().map(Curve::area), &want);
            for curve in &curves {
                prop_assert!(curve.points().len() <= most.saturating_add(2));
                prop_assert!(curve.points().is_sorted_by(|a, b| a.x <= b.x));
            }
            let mean = Curve::mean(&[&curves[0], &curves[0]], usize::MAX).unwrap();
            Near::abs(1e-9).check("mean", &[mean.area()], &[curves[0].area()]);
        }
    }

    #[test]
    fn auroc_is_the_share_of_pairs_in_the_right_order(
        pairs in prop::collection::vec((0_u8..20, any::<bool>()), 2..80),
    ) {
        let side = |bad: bool| pairs.iter().filter(move |p| p.1 == bad).map(|p| p.0);
        let (good, bad): (Vec<u8>, Vec<u8>) = (side(false).collect(), side(true).collect());
        prop_assume!(!good.is_empty() && !bad.is_empty());
        let points: u32 = bad.iter().flat_map(|b| good.iter().map(move |g| match b.cmp(g) {
            std::cmp::Ordering::Greater => 2,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Less => 0,
        })).sum();
        let want = f64::from(points) / (2 * good.len() * bad.len()) as f64;
        let got = Ranking::try_new(pairs.iter().map(|&(v, bad)| (f32::from(v), bad))).unwrap().auroc();
        prop_assert!(Near::abs(1e-12).equal(got, want));
    }
}

#[test]
fn bootstrap_of_scores_that_separate_is_always_one() {
    let scores = (0..20).map(|n| (n as f32, n >= 12));
    let draws = Bootstrap::of_scores(scores).unwrap().aurocs(200, 7);
    assert_eq!(draws, vec![1.0; 200]);
    assert_eq!(Interval::of(draws, 0.95), Some(Interval { low: 1.0, high: 1.0 }));
}

#[test]
fn bootstrap_interval_has_the_width_that_theory_gives() {
    // Scores without a message, in one line so that the AUROC is known: 0.5 but for the order of neighbours.
    let parts = |count: usize| (0..count).map(move |n| ((n * 7919 % count) as f32, n % 2 == 0));
    let width = |count: usize| {
        let interval = Interval::of(Bootstrap::of_scores(parts(count)).unwrap().aurocs(2000, 1), 0.95).unwrap();
        interval.high - interval.low
    };
    // Mann-Whitney: the variance at 0.5 is (m + n + 1) / (12 m n).
    for count in [40, 400] {
        let half = (count / 2) as f64;
        let theory = 2.0 * 1.96 * ((count as f64 + 1.0) / (12.0 * half * half)).sqrt();
        assert!((width(count) / theory - 1.0).abs() < 0.15, "{count}: {} against {theory}", width(count));
    }
}

#[test]
fn bootstrap_of_maps_is_centred_on_the_auroc_and_repeats_by_seed() {
    let maps: Vec<Vec<f32>> =
        (0..12).map(|n| (0..64).map(|i| ((i * 37 + n * 11) % 64) as f32 / 64.0).collect()).collect();
    let masks: Vec<Vec<bool>> =
        (0..12).map(|n| (0..64).map(|i| n % 2 == 1 && (i * 37 + n * 11) % 64 > 40 && i % 3 > 0).collect()).collect();
    let whole = Ranking::try_new(maps.iter().flatten().copied().zip(masks.iter().flatten().copied())).unwrap();
    let bootstrap = Bootstrap::of_maps(maps.iter().zip(&masks).map(|(map, mask)| (&map[..], &mask[..]))).unwrap();
    let draws = bootstrap.aurocs(500, 3);
    assert_eq!(draws, bootstrap.aurocs(500, 3));
    let interval = Interval::of(draws, 0.95).unwrap();
    assert!(interval.low < whole.auroc() && whole.auroc() < interval.high, "{interval:?} {}", whole.auroc());
}

#[test]
fn bootstrap_without_defects_or_with_nan_is_refused() {
    assert_eq!(Bootstrap::of_scores([(0.5, false)]).unwrap_err(), MetricError::OneClass { bad: 0, total: 1 });
    let error = Bootstrap::of_maps([(&[f32::NAN][..], &[true][..])]).unwrap_err();
    assert!(matches!(error, MetricError::NonFinite { index: 0, .. }), "{error}");
    assert_eq!(Interval::of(Vec::new(), 0.95), None);
}

#[test]
fn overlap_bootstrap_is_centred_on_the_aupro_and_repeats_by_seed() {
    // Twelve maps of 8x8; those with an odd number have two defect regions that the map sees in part.
    let value = |n: usize, i: usize| ((i * 37 + n * 11) % 64) as f32 / 64.0;
    let marked = |n: usize, i: usize| n % 2 == 1 && (i % 8 < 3 && i / 8 < 3 || i % 8 > 5 && i / 8 > 5);
    let maps: Vec<Vec<f32>> =
        (0..12).map(|n| (0..64).map(|i| value(n, i) + if marked(n, i) { 0.2 } else { 0.0 }).collect()).collect();
    let masks: Vec<Vec<bool>> = (0..12).map(|n| (0..64).map(|i| marked(n, i)).collect()).collect();
    let masked: Vec<_> =
        maps.iter().zip(&masks).map(|(map, mask)| MaskedMap::try_new(8, 8, map, mask).unwrap()).collect();
    let whole = RegionOverlap::try_new(&masked).unwrap().area(AuproRule::Field).unwrap();
    let bootstrap = OverlapBootstrap::of_maps(&masked).unwrap();
    let draws = bootstrap.aupros(500, 3);
    assert_eq!(draws, bootstrap.aupros(500, 3));
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    // Bins are one part in a hundred wide, and a draw has other parts.
    assert!((mean - whole).abs() < 0.03, "{mean} {whole}");
    let interval = Interval::of(draws, 0.95).unwrap();
    assert!(
        interval.low < whole && whole < interval.high && interval.high - interval.low > 0.01,
        "{interval:?} {whole}"
    );
}

#[test]
fn overlap_bootstrap_of_one_part_drawn_again_is_its_aupro() {
    let map: Vec<f32> = (0..64).map(|i| ((i * 29) % 64) as f32).collect();
    let mask: Vec<bool> = (0..64).map(|i| i % 8 > 4).collect();
    let masked = [MaskedMap::try_new(8, 8, &map, &mask).unwrap()];
    let want = RegionOverlap::try_new(&masked).unwrap().area(AuproRule::Field).unwrap();
    for got in OverlapBootstrap::of_maps(&masked).unwrap().aupros(5, 1) {
        // Whole numbers up to 64 lie in bins of their own.
        assert!(Near::abs(1e-12).equal(got, want), "{got} {want}");
    }
    let good = vec![false; 64];
    let error = OverlapBootstrap::of_maps(&[MaskedMap::try_new(8, 8, &map, &good).unwrap()]).unwrap_err();
    assert_eq!(error, MetricError::OneClass { bad: 0, total: 64 });
}
