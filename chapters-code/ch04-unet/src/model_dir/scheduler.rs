use ch02_schedule::{betas, BetaSchedule, Schedule};
use ch03_forward::{Diffusion, PredictionType};
use serde::{Deserialize, Serialize};

use super::DiffusersConfig;
use crate::ConfigError;

/// Which variance a sampling step adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[cfg_attr(feature = "program", value(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum VarianceType {
    /// The posterior variance of DDPM eq. 7, which would be right if every image were the same
    FixedSmall,
    /// Beta itself, which would be right if images were pure noise
    FixedLarge,
}

/// The noise schedule and how to sample, with the same fields as the config of diffusers'
/// `DDPMScheduler`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    pub _class_name: String,
    pub _diffusers_version: String,
    pub beta_end: f64,
    pub beta_schedule: BetaSchedule,
    pub beta_start: f64,
    /// Whether predicted images are clipped to ±`clip_sample_range`.
    pub clip_sample: bool,
    pub clip_sample_range: f64,
    pub dynamic_thresholding_ratio: f64,
    pub num_train_timesteps: usize,
    pub prediction_type: PredictionType,
    pub rescale_betas_zero_snr: bool,
    pub sample_max_value: f64,
    pub steps_offset: i64,
    pub thresholding: bool,
    pub timestep_spacing: String,
    pub trained_betas: Option<Vec<f64>>,
    pub variance_type: VarianceType,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            _class_name: "DDPMScheduler".into(),
            _diffusers_version: "0.30.0".into(),
            beta_end: ch02_schedule::BETA_END,
            beta_schedule: BetaSchedule::Linear,
            beta_start: ch02_schedule::BETA_START,
            clip_sample: true,
            clip_sample_range: 1.0,
            dynamic_thresholding_ratio: 0.995,
            num_train_timesteps: 1000,
            prediction_type: PredictionType::Epsilon,
            rescale_betas_zero_snr: false,
            sample_max_value: 1.0,
            steps_offset: 0,
            thresholding: false,
            timestep_spacing: "leading".into(),
            trained_betas: None,
            variance_type: VarianceType::FixedSmall,
        }
    }
}

impl DiffusersConfig for SchedulerConfig {
    const CLASS: &'static str = "DDPMScheduler";
    const OTHERWISE: &'static str =
        "; in Python, DDPMScheduler.from_config(pipeline.scheduler.config) makes one \
        from another scheduler";

    /// What diffusers leaves in the file when another scheduler is turned into a
    /// `DDPMScheduler`, which ignores it.
    const WITHOUT_EFFECT: &'static [&'static str] = &[
        "algorithm_type",
        "disable_corrector",
        "euler_at_final",
        "final_sigmas_type",
        "flow_shift",
        "interpolation_type",
        "lambda_min_clipped",
        "lower_order_final",
        "predict_x0",
        "rho",
        "set_alpha_to_one",
        "shift_terminal",
        "sigma_data",
        "sigma_max",
        "sigma_min",
        "sigma_schedule",
        "skip_prk_steps",
        "solver_order",
        "solver_p",
        "solver_type",
        "tensor_format",
        "time_shift_type",
        "timestep_type",
        "use_beta_sigmas",
        "use_dynamic_shifting",
        "use_exponential_sigmas",
        "use_flow_sigmas",
        "use_karras_sigmas",
        "use_lu_lambdas",
    ];
}

/// More timesteps than any published model has.
pub const MAX_TIMESTEPS: usize = 100_000;

impl SchedulerConfig {
    /// The forward process that the config describes.
    ///
    /// # Errors
    /// The error names a field whose value is not supported.
    pub fn diffusion(&self) -> Result<Diffusion, ConfigError> {
        let schedule = self.schedule()?;
        Ok(Diffusion { schedule, prediction_type: self.prediction_type })
    }

    fn schedule(&self) -> Result<Schedule, ConfigError> {
        self.check()?;
        let betas = match &self.trained_betas {
            None => {
                let (kind, count) = (self.beta_schedule, self.num_train_timesteps);
                betas(kind, count, self.beta_start, self.beta_end)
            }
            Some(betas) => betas.clone(),
        };
        let schedule = Schedule::from_betas(betas);
        let (first, last) =
            (schedule.alpha_bar[0], schedule.alpha_bar[schedule.len() - 1]);
        if first < 1.0 && last > 0.0 {
            return Ok(schedule);
        }
        let field = match self.trained_betas {
            Some(_) => "trained_betas",
            None => "num_train_timesteps",
        };
        let need = "with these betas the first step adds no noise, or the last leaves no image";
        Err(ConfigError::new(field, self.num_train_timesteps, need))
    }

    fn check(&self) -> Result<(), ConfigError> {
        ConfigError::check_only("_class_name", &self._class_name, Self::CLASS)?;
        let zero_snr = ("rescale_betas_zero_snr", self.rescale_betas_zero_snr);
        for (field, value) in [("thresholding", self.thresholding), zero_snr] {
            if value {
                return Err(ConfigError::new(field, value, "only false is supported"));
            }
        }
        if self.steps_offset != 0 {
            return Err(ConfigError::new(
                "steps_offset",
                self.steps_offset,
                "only 0 is supported",
            ));
        }
        let (timesteps, range) = (self.num_train_timesteps, self.clip_sample_range);
        ConfigError::check_size("num_train_timesteps", timesteps, 1..=MAX_TIMESTEPS)?;
        let need = "it must be a number above 0";
        ConfigError::check_number("clip_sample_range", range, need, |v| v > 0.0)?;
        self.check_betas()
    }

    fn check_betas(&self) -> Result<(), ConfigError> {
        let is_beta = |beta: f64| beta > 0.0 && beta < 1.0;
        for (field, beta) in
            [("beta_start", self.beta_start), ("beta_end", self.beta_end)]
        {
            if !is_beta(beta) {
                let need = "it must lie between 0 and 1";
                return Err(ConfigError::new(field, format_args!("{beta:?}"), need));
            }
        }
        if self.beta_start > self.beta_end {
            let need = format!("it must not be above beta_end, {:?}", self.beta_end);
            return Err(ConfigError::new(
                "beta_start",
                format_args!("{:?}", self.beta_start),
                need,
            ));
        }
        let given = self.trained_betas.as_deref().unwrap_or(&[]);
        if let Some(bad) = given.iter().position(|&beta| !is_beta(beta)) {
            let value = format!("{:?} at index {bad}", given[bad]);
            let need = "every beta must lie between 0 and 1";
            return Err(ConfigError::new("trained_betas", value, need));
        }
        if self.trained_betas.is_some() && given.len() != self.num_train_timesteps {
            let need = format!("num_train_timesteps is {}", self.num_train_timesteps);
            let value = format!("a list of {}", given.len());
            return Err(ConfigError::new("trained_betas", value, need));
        }
        Ok(())
    }

    /// The limit to which predicted images are clipped, if any.
    pub fn clip(&self) -> Option<f32> {
        self.clip_sample.then_some(self.clip_sample_range as f32)
    }
}
