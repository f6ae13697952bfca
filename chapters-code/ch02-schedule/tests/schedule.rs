//! The chapter's claims about schedules, for each kind and several lengths.

use ch02_schedule::{betas, raised_betas, BetaSchedule, Schedule};

fn every(check: impl Fn(BetaSchedule, &Schedule)) {
    for kind in BetaSchedule::ALL {
        for timesteps in [1, 2, 10, 100, 1000, 4000] {
            check(kind, &Schedule::new(kind, timesteps));
        }
    }
}

#[test]
fn alpha_bar_falls_from_near_one_and_stays_positive() {
    every(|kind, s| {
        assert!(
            s.alpha_bar.windows(2).all(|w| w[1] < w[0]),
            "{kind:?}: alpha_bar must fall at every step"
        );
        assert!(s.alpha_bar[0] < 1.0 && s.alpha_bar[s.len() - 1] > 0.0, "{kind:?}");
        assert!(
            (1..s.len()).all(|t| s.snr(t) < s.snr(t - 1)),
            "{kind:?}: the signal-to-noise ratio falls"
        );
    });
    for kind in BetaSchedule::ALL {
        let s = Schedule::new(kind, 1000);
        assert!(s.alpha_bar[0] > 0.999, "{kind:?} begins gently");
        assert!(
            s.alpha_bar[999] < 1e-3,
            "{kind:?} ends in noise, not in {}",
            s.alpha_bar[999]
        );
    }
}

#[test]
fn alpha_bar_is_the_product_of_alphas() {
    every(|_, s| {
        let mut logs = 0.0;
        for t in 0..s.len() {
            logs += (-s.betas[t]).ln_1p();
            assert!(
                (s.alpha_bar[t].ln() - logs).abs() < 1e-9 * logs.abs().max(1.0),
                "t = {t}"
            );
        }
    });
}

/// The variance of x_{t-1} given x_t and x0, derived from the two Gaussians in Bayes' rule: their
/// precisions are added.
// ANCHOR: bayes
#[test]
fn posterior_variance_follows_from_bayes_rule() {
    every(|_, s| {
        for t in 1..s.len() {
            // Prior: x_{t-1} given x0 has variance 1 - alpha_bar[t-1]. Likelihood: x_t
            // = √α x_{t-1} + noise of variance β.
            let precision = 1.0 / (1.0 - s.alpha_bar[t - 1]) + s.alphas[t] / s.betas[t];
            let expected = 1.0 / precision;
            assert!((s.posterior_variance(t) - expected).abs() < 1e-9 * expected);
            // In the mean, the two Gaussians are weighted by their precisions.
            let (of_x0, of_x_t) = s.posterior_mean_coefficients(t);
            let expected_x0 =
                expected * s.alpha_bar[t - 1].sqrt() / (1.0 - s.alpha_bar[t - 1]);
            let expected_x_t = expected * s.alphas[t].sqrt() / s.betas[t];
            assert!((of_x0 - expected_x0).abs() < 1e-9 * expected_x0);
            assert!((of_x_t - expected_x_t).abs() < 1e-9 * expected_x_t.max(1e-9));
        }
        assert_eq!(s.posterior_variance(0), 0.0);
        let (of_x0, of_x_t) = s.posterior_mean_coefficients(0);
        assert!(
            (of_x0 - 1.0).abs() < 1e-12 && of_x_t == 0.0,
            "the last step returns the predicted image"
        );
    });
}
// ANCHOR_END: bayes

#[test]
fn the_posterior_variance_lies_below_beta() {
    every(|_, s| {
        for t in 0..s.len() {
            assert!(s.posterior_variance(t) <= s.betas[t]);
            // Strictly below, as long as f64 can tell 1 - alpha_bar from 1.
            assert!(s.alpha_bar[t] < 1e-12 || s.posterior_variance(t) < s.betas[t]);
        }
    });
}

#[test]
fn the_cosine_follows_its_formula_until_the_cap() {
    let s = Schedule::new(BetaSchedule::SquaredcosCapV2, 1000);
    let f = |t: f64| {
        (((t / 1000.0 + 0.008) / 1.008) * std::f64::consts::FRAC_PI_2).cos().powi(2)
    };
    for t in 0..999 {
        let expected = f(t as f64 + 1.0) / f(0.0);
        assert!((s.alpha_bar[t] - expected).abs() < 1e-12, "alpha_bar[{t}]");
    }
    assert_eq!(s.betas[999], 0.999, "the last beta would be 1 without the cap");
}

#[test]
fn names_in_files_are_those_of_diffusers() {
    for kind in BetaSchedule::ALL {
        assert_eq!(
            serde_json::to_string(&kind).unwrap(),
            format!("\"{}\"", kind.name())
        );
    }
}

#[test]
fn raised_betas_end_in_noise_however_few_steps_there_are() {
    let paper = Schedule::new(BetaSchedule::Linear, 1000).alpha_bar[999];
    for timesteps in [20, 50, 100, 250, 1000, 4000] {
        let (start, end) = raised_betas(timesteps);
        for kind in
            [BetaSchedule::Linear, BetaSchedule::ScaledLinear, BetaSchedule::Sigmoid]
        {
            let raised = Schedule::from_betas(betas(kind, timesteps, start, end));
            let last = raised.alpha_bar[timesteps - 1];
            assert!(last < 1e-3, "{kind:?} with {timesteps} steps ends at {last}");
            if kind == BetaSchedule::Linear && timesteps <= 1000 {
                assert!(last <= 1.01 * paper, "{timesteps} steps: {last}");
            }
        }
    }
    assert_eq!(raised_betas(1000), (1e-4, 0.02));
    // With betas that are not raised, over a third of the image is left, as the page says.
    assert!(Schedule::new(BetaSchedule::Linear, 100).alpha_bar[99] > 1.0 / 3.0);
}
