//! The measures of quality, where the right value is known.

use ch01_tensors::{Cats, Dataset, Split};
use ch03_forward::rng;
use ch09_evaluation::classifier::{
    accuracy, answers, features_of, load, questions, save, train_classifier,
    Classifier, ClassifierConfig, FEATURES,
};
use ch09_evaluation::{
    chance_larger, frechet_distance, kernel_distance, nearest, quantile, share_above,
    share_within, Nearest,
};
use ops::AutoDevice;
use rand::seq::SliceRandom;
use rand::Rng;

/// Rows with exactly this mean and this variance along each axis, and no covariance:
/// two points on every axis.
fn cross(mean: &[f64], variance: &[f64]) -> Vec<Vec<f64>> {
    let width = mean.len();
    // Of the 2·width points, two differ from the mean along each axis, and the estimate
    // divides by 2·width - 1.
    let reach = |axis: usize| (variance[axis] * (2 * width - 1) as f64 / 2.0).sqrt();
    let point = |axis: usize, sign: f64| {
        (0..width)
            .map(|i| mean[i] + if i == axis { sign * reach(axis) } else { 0.0 })
            .collect()
    };
    (0..width).flat_map(|axis| [point(axis, 1.0), point(axis, -1.0)]).collect()
}

#[test]
fn frechet_distance_of_known_gaussians() {
    let (mean_a, variance_a) = ([0.0, 1.0, -2.0], [1.0, 4.0, 0.25]);
    let (mean_b, variance_b) = ([0.5, 1.0, 1.0], [9.0, 4.0, 1.0]);
    let (a, b) = (cross(&mean_a, &variance_a), cross(&mean_b, &variance_b));
    // Axis by axis: the squared differences of the means and of the deviations.
    let expected = (0.25 + 0.0 + 9.0) + (4.0 + 0.0 + 0.25);
    assert!((frechet_distance(&a, &b) - expected).abs() < 1e-9);
    assert!(frechet_distance(&a, &a).abs() < 1e-9);

    // Rotating both sets gives them covariances, but leaves the distance unchanged.
    let turn = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let (c, s) = (0.6, 0.8);
        rows.iter()
            .map(|r| {
                vec![
                    c * r[0] - s * r[1],
                    c * (s * r[0] + c * r[1]) - s * r[2],
                    s * (s * r[0] + c * r[1]) + c * r[2],
                ]
            })
            .collect()
    };
    assert!((frechet_distance(&turn(&a), &turn(&b)) - expected).abs() < 1e-9);
}

#[test]
fn frechet_distance_where_directions_never_vary() {
    let flat: Vec<Vec<f64>> = (0..10).map(|i| vec![i as f64, 3.0, 3.0]).collect();
    assert!(frechet_distance(&flat, &flat).abs() < 1e-6);
}

#[test]
fn kernel_distance_by_hand_and_on_average() {
    // One number per row: the kernel is (xy + 1)³.
    let (a, b) = (vec![vec![0.0], vec![1.0]], vec![vec![2.0], vec![-1.0]]);
    // Pairs within a: 1; within b: (-1)³; between: 1, 1, 3³, 0.
    let expected = 1.0 + -1.0 - 2.0 * (1.0 + 1.0 + 27.0 + 0.0) / 4.0;
    assert!((kernel_distance(&a, &b) - expected).abs() < 1e-12);

    // For two samples of one crowd the distance is 0 on average, sometimes a little more, sometimes
    // a little less.
    let mut rng = rng(0, 0);
    let mut row = |shift: f64| {
        (0..3).map(|_| rng.gen_range(-1.0..1.0) + shift).collect::<Vec<f64>>()
    };
    let draws: Vec<f64> = (0..200)
        .map(|_| {
            let (a, b): (Vec<_>, Vec<_>) = (
                (0..20).map(|_| row(0.0)).collect(),
                (0..20).map(|_| row(0.0)).collect(),
            );
            kernel_distance(&a, &b)
        })
        .collect();
    let mean = draws.iter().sum::<f64>() / 200.0;
    let deviation =
        (draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 200.0).sqrt();
    assert!(
        mean.abs() < 4.0 * deviation / 200f64.sqrt(),
        "{mean} is not 0 (deviation {deviation})"
    );
    let (a, b): (Vec<_>, Vec<_>) =
        ((0..20).map(|_| row(0.0)).collect(), (0..20).map(|_| row(1.0)).collect());
    assert!(kernel_distance(&a, &b) > 10.0 * deviation);
}

#[test]
fn the_nearest_image_is_found() {
    let others: Vec<Vec<f32>> = (0..20).map(|i| vec![i as f32; 4]).collect();
    let found = nearest(&[vec![7.0, 7.0, 7.0, 9.0], vec![-3.0; 4]], &others);
    // The mean squares are 4/4 for 7 and (3 + 1)/4 for 8: of two equals, the first wins.
    let expected = [
        Nearest { number: 7, difference: 1.0, second: 1.0 },
        Nearest { number: 0, difference: 3.0, second: 4.0 },
    ];
    assert_eq!(found, expected);
    assert_eq!(found[1].ratio(), 0.75);
    // A search in pieces gives the same result, whichever pieces hold the nearest and the second.
    for at in 1..20 {
        let (a, b) = others.split_at(at);
        for (i, image) in [vec![7.0, 7.0, 7.0, 9.0], vec![-3.0; 4]].iter().enumerate() {
            let image = std::slice::from_ref(image);
            let later = nearest(image, b)[0];
            let later = Nearest { number: later.number + at, ..later };
            assert_eq!(nearest(image, a)[0].or(later), expected[i], "{at}");
        }
    }
}

/// More images than are compared at a time; some are copies of others, and one is nearly a copy.
#[test]
fn the_nearest_of_many_is_what_every_difference_says() {
    let (train, heldout) = (Cats::new(Split::Train), Cats::new(Split::HeldOut));
    let mut others: Vec<Vec<f32>> = (0..700).map(|i| train.image(i)).collect();
    others[690] = others[5].clone();
    others[691] = others[6].iter().map(|v| v * (1.0 - 1e-5)).collect();
    let mut images: Vec<Vec<f32>> = (0..290).map(|i| heldout.image(i)).collect();
    images.extend_from_slice(&others[..10]);
    for (image, found) in images.iter().zip(nearest(&images, &others)) {
        let difference = |other: &Vec<f32>| {
            let pairs = image.iter().zip(other);
            let squares: f64 =
                pairs.map(|(a, b)| (*a as f64 - *b as f64).powi(2)).sum();
            (squares / image.len() as f64).sqrt()
        };
        let mut all: Vec<f64> = others.iter().map(difference).collect();
        assert!((all[found.number] - found.difference).abs() < 1e-6);
        all.sort_by(f64::total_cmp);
        assert!((all[0] - found.difference).abs() < 1e-6, "{} {found:?}", all[0]);
        assert!((all[1] - found.second).abs() < 1e-6, "{} {found:?}", all[1]);
    }
}

#[test]
fn a_judge_compares_ranks() {
    let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
    assert_eq!(
        [0.0, 0.5, 0.99, 1.0].map(|s| quantile(&values, s)),
        [0.0, 50.0, 99.0, 100.0]
    );
    assert_eq!(share_above(&values, 99.0), 1.0 / 101.0);
    assert_eq!(chance_larger(&values, &values), 0.5);
    assert_eq!(chance_larger(&[3.0, 4.0], &[1.0, 2.0]), 1.0);
    // In four of the six pairs the first is larger: 2 > 1, 4 > 1, 4 > 2 and 4 > 3. The equal pair
    // counts half.
    assert_eq!(chance_larger(&[2.0, 4.0], &[1.0, 2.0, 3.0]), 4.5 / 6.0);
}

fn small(steps: u64) -> Classifier<AutoDevice> {
    let device = ops::open_device(0).unwrap();
    let cats = Cats::new(Split::Train);
    let config = ClassifierConfig {
        dataset: "cats".into(),
        shape: cats.shape(),
        questions: questions(&cats).iter().map(|(_, answers)| answers.len()).collect(),
        steps,
        batch_size: 32,
        seed: 0,
        accuracy: 0.0,
    };
    train_classifier(&device, config, &cats, |_, _| {}).unwrap()
}

#[test]
fn a_classifier_learns_and_survives_the_disk() {
    let device = ops::open_device(0).unwrap();
    let heldout = Cats::new(Split::HeldOut);
    let names = questions(&heldout);
    assert_eq!(
        names.iter().map(|(_, all)| all.len()).collect::<Vec<_>>(),
        [6, 3, 3, 2, 4]
    );
    assert_eq!(
        (names[0].0, &names[0].1[..2]),
        ("fur", &["orange".to_string(), "blue".into()][..])
    );
    assert!((0..50).all(|i| answers(&heldout, i)[0] == heldout.label(i)));
    let mut trained = small(150);
    let right = accuracy(&device, &trained, &heldout);
    // Guessing gets one in 432 right.
    assert!(right > 0.05, "a share of {right} is right after 150 steps");
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &mut trained).unwrap();
    let again = load(&device, folder.path()).unwrap();
    let images: Vec<Vec<f32>> = (0..5).map(|i| heldout.image(i)).collect();
    let features = features_of(&device, &again, &images);
    assert_eq!((features.len(), features[0].len()), (5, FEATURES));
    assert_eq!(features, features_of(&device, &trained, &images));
}

/// The distance must show what is wrong with images: noise in them, or too few kinds.
#[test]
fn worse_images_are_farther_away() {
    let device = ops::open_device(0).unwrap();
    let classifier = small(150);
    let (train, heldout) = (Cats::new(Split::Train), Cats::new(Split::HeldOut));
    let features = |images: &[Vec<f32>]| features_of(&device, &classifier, images);
    let of_train = features(&(0..500).map(|i| train.image(i)).collect::<Vec<_>>());
    let mut rng = rng(1, 0);
    let real: Vec<Vec<f32>> = (0..500).map(|i| heldout.image(i)).collect();
    let noisy: Vec<Vec<f32>> = real
        .iter()
        .map(|image| image.iter().map(|v| v + rng.gen_range(-0.6..0.6)).collect())
        .collect();
    let few: Vec<Vec<f32>> =
        (0..500).map(|_| real[..20].choose(&mut rng).unwrap().clone()).collect();
    let [real, noisy, few] = [&real, &noisy, &few].map(|images| {
        let f = features(images);
        (frechet_distance(&f, &of_train), kernel_distance(&f, &of_train))
    });
    println!("real {real:?}, noisy {noisy:?}, few {few:?}");
    for worse in [noisy, few] {
        assert!(
            worse.0 > 1.5 * real.0 && worse.1 > real.1 + 0.005,
            "{worse:?} against {real:?}"
        );
    }
}

#[test]
fn precision_and_recall_see_different_faults() {
    let mut rng = rng(7, 0);
    let mut crowd = |count: usize, width: f64, shift: f64| -> Vec<Vec<f64>> {
        (0..count)
            .map(|_| (0..4).map(|_| shift + width * rng.gen_range(-1.0..1.0)).collect())
            .collect()
    };
    let real = crowd(500, 1.0, 0.0);
    let both = |drawn: &[Vec<f64>]| {
        (share_within(drawn, &real, 3), share_within(&real, drawn, 3))
    };
    let (precision, recall) = both(&crowd(500, 1.0, 0.0));
    assert!(precision > 0.9 && recall > 0.9, "other real ones: {precision}, {recall}");
    let (precision, recall) = both(&crowd(500, 0.3, 0.0));
    assert!(precision > 0.95 && recall < 0.1, "no variety: {precision}, {recall}");
    let (precision, recall) = both(&crowd(500, 3.0, 0.0));
    assert!(precision < 0.2 && recall > 0.9, "anything: {precision}, {recall}");
    let (precision, recall) = both(&crowd(500, 1.0, 10.0));
    assert_eq!((precision, recall), (0.0, 0.0), "something else");
}

#[test]
fn a_point_is_within_the_reach_of_a_member() {
    let line = |points: &[f64]| points.iter().map(|&x| vec![x]).collect::<Vec<_>>();
    // The nearest neighbours of the members are 1, 1, 1 and 7 away.
    let crowd = line(&[0.0, 1.0, 2.0, 9.0]);
    assert_eq!(
        share_within(&line(&[-1.0, 2.9, 3.1, 16.0, 16.1]), &crowd, 1),
        4.0 / 5.0
    );
    assert_eq!(share_within(&line(&[-1.1]), &crowd, 1), 0.0);
}
