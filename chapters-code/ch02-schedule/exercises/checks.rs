//! What an answer must pass.

use ch02_schedule::{BetaSchedule, Schedule};

use super::answers::{betas_from_alpha_bar, half_way, strided};

#[test]
fn half_way_is_where_noise_and_image_are_equal() {
    for kind in BetaSchedule::ALL {
        let schedule = Schedule::new(kind, 1000);
        let t = half_way(&schedule);
        assert!(schedule.snr(t) <= 1.0, "{kind:?}: at {t} the image still wins");
        assert!(schedule.snr(t - 1) > 1.0, "{kind:?}: {t} is not the first");
    }
}

#[test]
fn betas_come_back() {
    for kind in BetaSchedule::ALL {
        let schedule = Schedule::new(kind, 500);
        let betas = betas_from_alpha_bar(&schedule.alpha_bar);
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
fn strides_lead_to_the_same_places() {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    for k in [1, 4, 50] {
        let few = strided(&schedule, k);
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
