//! The tests that an answer must pass. Each is named after the function that it tests.

use ch02_schedule::{BetaSchedule, Schedule};

use super::answers;

#[test]
fn half_way() {
    for kind in BetaSchedule::ALL {
        let schedule = Schedule::new(kind, 1000);
        let t = answers::half_way(&schedule);
        assert!(schedule.snr(t) <= 1.0, "{kind:?}: at {t} the image still wins");
        assert!(schedule.snr(t - 1) > 1.0, "{kind:?}: {t} is not the first");
    }
}

#[test]
fn betas_from_alpha_bar() {
    for kind in BetaSchedule::ALL {
        let schedule = Schedule::new(kind, 500);
        let betas = answers::betas_from_alpha_bar(&schedule.alpha_bar);
        assert_eq!(betas.len(), 500);
        for (t, (found, beta)) in betas.iter().zip(&schedule.betas).enumerate() {
            assert!(
                (found - beta).abs() < 1e-6,
                "{kind:?}, t = {t}: {found}, not {beta}"
            );
        }
    }
}

#[test]
fn strided() {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    for k in [1, 4, 50] {
        let few = answers::strided(&schedule, k);
        assert_eq!(few.len(), 1000 / k);
        for (i, alpha_bar) in few.alpha_bar.iter().enumerate() {
            let there = schedule.alpha_bar[(i + 1) * k - 1];
            assert!(
                (alpha_bar / there - 1.0).abs() < 1e-9,
                "every {k}th, step {i}: {alpha_bar}, not {there}"
            );
        }
    }
}

#[test]
fn straight() {
    let schedule = answers::straight(101, 6.0, -4.0);
    assert_eq!(schedule.len(), 101);
    for t in 0..101 {
        let (found, wanted) = (schedule.snr(t).ln(), 6.0 - 0.1 * t as f64);
        assert!((found - wanted).abs() < 1e-6, "t = {t}: {found}, not {wanted}");
    }
}
