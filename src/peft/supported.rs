//! Which of PEFT's LoRA configs can be read: those that say nothing which this program does not know.

use super::PeftError;
use serde_json::Value;
use std::path::Path;

/// The keys that [`super::format`] reads, and those of PEFT's `LoraConfig` that change no answer, whatever they say.
const KNOWN: [&str; 29] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    // How training begins; what that does to the base weights is what `init_lora_weights` says.
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    // The name of a package, which `megatron_config` makes use of.
    "megatron_core",
    // Of the first versions: when weights were merged.
    "merge_weights",
    "modules_to_save",
    "peft_type",
    "peft_version",
    // Of `use_qalora`.
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
];

/// What PEFT's `init_lora_weights` may say where the base weights stay as they are.
const INITS: [&str; 4] = ["gaussian", "orthogonal", "eva", "mica"];

/// Refuses a config of another method, and one with a key that is set and not known: it may change the mathematics.
///
/// # Errors
/// [`PeftError::Unsupported`] with the first such key.
pub(super) fn require(config: &Value, path: &Path) -> Result<(), PeftError> {
    let unsupported = |key: &str, value: String| {
        Err(PeftError::Unsupported { path: path.to_path_buf(), key: key.into(), value })
    };
    if let Some(other) = config["peft_type"].as_str().filter(|name| *name != "LORA") {
        return unsupported("peft_type", other.into());
    }
    let init = &config["init_lora_weights"];
    let is_plain = match init {
        Value::Null | Value::Bool(_) => true,
        Value::String(name) => INITS.contains(&name.to_lowercase().as_str()),
        _ => false,
    };
    if !is_plain {
        return unsupported("init_lora_weights", init.to_string());
    }
    // Without modules that are trained whole there is nothing to tie.
    let ties_nothing = says_nothing(&config["modules_to_save"]);
    let is_known = |key: &str| KNOWN.contains(&key) || (key == "ensure_weight_tying" && ties_nothing);
    let keys = config.as_object().into_iter().flatten();
    match keys.filter(|(key, _)| !is_known(key)).find(|(_, value)| !says_nothing(value)) {
        Some((key, value)) => unsupported(key, crate::base::human::elide(&value.to_string(), 80)),
        None => Ok(()),
    }
}

/// Whether a key with this value says what its absence says.
pub(super) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Explain;
    use serde_json::json;

    /// As PEFT 0.21.2 writes a plain LoRA.
    fn plain() -> Value {
        json!({
            "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
            "base_model_name_or_path": "tiny", "bias": "none", "corda_config": null,
            "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
            "inference_mode": true, "init_lora_weights": true, "kasa_config": null, "layer_replication": null,
            "layers_pattern": null, "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8,
            "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null, "megatron_config": null,
            "megatron_core": "megatron.core", "modules_to_save": null, "monteclora_config": null,
            "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 4, "rank_pattern": {},
            "revision": null, "target_modules": ["q_proj"], "target_parameters": null,
            "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_bdlora": null, "use_dora": false,
            "use_qalora": false, "use_rslora": false, "velora_config": null,
        })
    }

    fn with(key: &str, value: Value) -> Result<(), PeftError> {
        let mut config = plain();
        config[key] = value;
        require(&config, Path::new("adapter_config.json"))
    }

    #[test]
    fn a_plain_lora_is_read_and_one_that_changes_the_base_weights_is_not() {
        for init in [json!(true), json!(false), json!(null), json!("gaussian"), json!("Gaussian")] {
            assert!(with("init_lora_weights", init).is_ok());
        }
        for init in ["orthogonal", "eva", "mica"] {
            assert!(with("init_lora_weights", json!(init)).is_ok(), "{init}");
        }
        for init in ["pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq", "lora_ga", "new"] {
            let refusal = with("init_lora_weights", json!(init)).unwrap_err();
            assert!(refusal.to_string().contains(&format!("init_lora_weights = \"{init}\"")), "{refusal}");
            assert!(
                refusal.hint().contains("path_initial_model_for_weight_conversion"),
                "{}",
                refusal.hint()
            );
        }
    }

    #[test]
    fn a_key_that_is_set_and_not_known_is_refused_by_name() {
        for (key, value) in [
            ("alora_invocation_tokens", json!([9, 15])),
            ("kasa_config", json!({"beta": 1e-4})),
            ("arrow_config", json!({"top_k": 3})),
            ("velora_config", json!({"num_groups": 32})),
            ("monteclora_config", json!({"sample": 4})),
            ("layer_replication", json!([[0, 2]])),
            ("trainable_token_indices", json!([1])),
            ("target_parameters", json!(["experts"])),
            ("lora_bias", json!(true)),
            ("use_qalora", json!(true)),
            ("megatron_config", json!({"a": 1})),
            ("of_the_year_2030", json!(0.5)),
        ] {
            let refusal = with(key, value).unwrap_err();
            assert!(refusal.to_string().starts_with(key), "{refusal}");
            assert!(refusal.hint().contains(key), "{}", refusal.hint());
        }
        for nothing in [json!(null), json!(false), json!({}), json!([]), json!("")] {
            assert!(with("of_the_year_2030", nothing).is_ok());
        }
        for (key, value) in [("eva_config", json!({"rho": 2.0})), ("ensure_weight_tying", json!(true))] {
            assert!(with(key, value).is_ok(), "{key}");
        }
        let tied = json!({"peft_type": "LORA", "ensure_weight_tying": true, "modules_to_save": ["lm_head"]});
        assert!(require(&tied, Path::new("x")).is_err());
        // The first versions of PEFT.
        let old = json!({"peft_type": "LORA", "r": 8, "enable_lora": null, "merge_weights": true});
        assert!(require(&old, Path::new("x")).is_ok());
    }

    #[test]
    fn another_method_is_refused_by_its_name() {
        for kind in ["LOHA", "LOKR", "OFT", "VERA", "LN_TUNING", "MULTITASK_PROMPT_TUNING", "ADALORA"] {
            let refusal = require(&json!({"peft_type": kind}), Path::new("x")).unwrap_err();
            assert_eq!(refusal.to_string(), format!("peft_type = {kind} is not supported (x)"));
        }
    }
}
