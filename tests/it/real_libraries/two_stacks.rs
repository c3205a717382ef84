//! Models that read with one stack and write with another, with PEFT and transformers.

use super::{BOUND, PEFT, logits};
use crate::ops::relative_error;
use crate::parity::{decoder, model_of};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use tunesmith::base::rng::Rng;
use tunesmith::peft::freeze::Kind;
use tunesmith::peft::{Adapter, Freeze, Full, LoraSettings, Settings, files};

/// What is read, and what is written after the token that begins it.
const READ: [u32; 9] = [5, 40, 17, 8, 33, 21, 9, 60, 1];
const WRITTEN: [u32; 6] = [0, 12, 30, 7, 55, 19];

/// LoRA of some layers and of all, full tuning and freezing: PEFT and transformers open each and make the same of a text.
#[test]
#[ignore = "needs PEFT: .ci/peft runs it"]
fn peft_and_transformers_open_tuned_models_of_two_stacks() {
    let temp = tempfile::tempdir().unwrap();
    let mut num = 0;
    for name in ["t5", "flan"] {
        let source = format!("parity/t5/{name}/model");
        let family = decoder(&source).config().family;
        let lora = |targets: &[&str], has_magnitudes: bool| {
            let targets: Vec<String> = targets.iter().map(|target| target.to_string()).collect();
            let lora = LoraSettings::new(family, 2, 6.0, 0.0, &targets).unwrap();
            Settings::Lora(LoraSettings { has_magnitudes, ..lora })
        };
        let freeze = Freeze { blocks: 3, train: Kind::ALL.to_vec(), ..Freeze::default() };
        for (kind, settings) in [
            ("lora", lora(&["q", "v"], false)),
            ("lora_cross", lora(&["EncDecAttention.q", "EncDecAttention.v", "wo"], false)),
            ("lora_all", lora(&["all-linear"], false)),
            ("dora", lora(&["q", "k", "v", "o", "wo"], true)),
            ("full", Settings::Full(Full {})),
            ("freeze", Settings::Freeze(freeze)),
        ] {
            let model = model_of(decoder(&source));
            let mut adapter = Adapter::new(settings, &model, 1).unwrap();
            let mut rng = Rng::new(9, &[]);
            let noise: Vec<f32> =
                (0..adapter.params.num_values()).map(|_| (0.1 * rng.normal()) as f32).collect();
            let noise = Tensor::new(noise, &Device::Cpu).unwrap();
            adapter.params.set_values((adapter.params.values() + noise).unwrap()).unwrap();
            let to = temp.path().join(name).join(kind);
            std::fs::create_dir_all(&to).unwrap();
            files::save_result(&adapter, &model, &to).unwrap();
            let again = files::load(&to, model.config(), &Device::Cpu).unwrap();
            let hooks = again.hooks().unwrap();
            let made = logits(&model.decoder, hooks.as_ref(), [&READ[..], &WRITTEN].concat());
            let made = made.narrow(0, READ.len(), WRITTEN.len()).unwrap();
            let own = adapter.hooks().unwrap();
            let own = logits(&model.decoder, own.as_ref(), [&READ[..], &WRITTEN].concat());
            let own = own.narrow(0, READ.len(), WRITTEN.len()).unwrap();
            assert!(relative_error(&made, &own) < 1e-6, "{name} {kind}");
            let ids = |ids: &[u32]| Tensor::new(ids, &Device::Cpu).unwrap();
            let case = HashMap::from([("ids", ids(&READ)), ("written", ids(&WRITTEN)), ("logits", made)]);
            candle_core::safetensors::save(&case, to.join("case.safetensors")).unwrap();
            num += 1;
        }
    }
    PEFT.run("two_stacks", temp.path(), &[]);
    let text = std::fs::read(temp.path().join("errors.json")).unwrap();
    let errors: BTreeMap<String, f64> = serde_json::from_slice(&text).unwrap();
    assert_eq!(errors.len(), num);
    for (name, error) in errors {
        assert!(error < BOUND, "{name}: {error}");
    }
}
