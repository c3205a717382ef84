//! What a run meets when something is wrong with the weights, the rows or the device: it goes on where that is honest, and says
//! what happened where it is not.

use crate::ops::random;
use crate::packed::TYPES;
use crate::parity::{decoder, fixture, loss_and_gradient_of};
use crate::train::{dataset, losses, model, recipe, run, validations};
use crate::weights::{LLAMA, as_gguf, copy_of, save, tensors, write_gguf};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use std::path::Path;
use std::sync::Arc;
use tunesmith::base::{Control, DeviceChoice, Explain, Failure, Precision, Silent};
use tunesmith::data::loader::Loader;
use tunesmith::data::{Batch, LossWeights, Sample};
use tunesmith::model::ModelError;
use tunesmith::model::config::{Form, Needed};
use tunesmith::model::decoder::Decoder;
use tunesmith::model::files::ModelFiles;
use tunesmith::model::hooks::NoHooks;
use tunesmith::model::hooks::Part;
use tunesmith::model::load::{LoadedModel, Placement, load_decoder};
use tunesmith::model::params::DecoderParams;
use tunesmith::model::weights::Weights;
use tunesmith::nn::Tape;
use tunesmith::peft::Adapter;
use tunesmith::project::{Outcome, RunEvent};
use tunesmith::train::{TrainError, trainee};

/// Of the fixture's model.
const CONTEXT: usize = 256;

fn load(path: &Path, precision: Precision) -> Result<Decoder, ModelError> {
    let files = ModelFiles::open("faulty", path).unwrap();
    let placement = Placement { precision, ..DeviceChoice::Cpu.into() };
    load_decoder(&files, placement, &Control::new(), &mut Silent)
}

#[test]
fn a_weight_that_is_no_number_is_named_with_its_file() {
    let name = "model.layers.1.mlp.up_proj.weight";
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let dir = copy_of(LLAMA);
        let mut all = tensors(LLAMA);
        let mut values = all[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values[777] = bad;
        all.insert(name.into(), Tensor::from_vec(values, all[name].shape(), &Device::Cpu).unwrap());
        save(dir.path(), &all);
        for precision in [Precision::F32, Precision::Stored, Precision::Bf16, Precision::Q8_0] {
            let text = load(dir.path(), precision).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("model.safetensors"), "{bad} {precision:?}: {text}");
            assert!(text.contains("not finite"), "{text}");
        }
    }
}

/// Of every type of block, at every place of two bytes: a file is refused where what the blocks stand for is not finite, and only there.
#[test]
fn a_block_with_a_scale_that_is_no_number_is_named() {
    const NAME: &str = "blk.1.ffn_up.weight";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scales.gguf");
    let (meta, _) = as_gguf(LLAMA, "llama", GgmlDType::F32);
    for dtype in TYPES {
        let whole = QTensor::quantize(&random(&[96, 256], 1), dtype).unwrap().data().unwrap().to_vec();
        for at in (0..dtype.type_size()).step_by(2) {
            let mut bytes = whole.clone();
            bytes[dtype.type_size() * 5 + at..][..2].copy_from_slice(&0xFF80u16.to_le_bytes());
            let storage = QStorage::from_data(bytes.into(), &Device::Cpu, dtype).unwrap();
            let broken = QTensor::new(storage, (96, 256)).unwrap();
            let is_finite = {
                let numbers = broken.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
                numbers.to_vec1::<f32>().unwrap().iter().all(|x| x.is_finite())
            };
            write_gguf(&path, &meta, &[(NAME.into(), broken)]);
            let weights = Weights::open(&path).unwrap();
            let needed = Needed {
                name: "model.layers.1.mlp.up_proj.weight".into(),
                shape: weights.shape("model.layers.1.mlp.up_proj.weight").unwrap(),
                form: Form::default(),
            };
            let read = |precision| weights.weight(&needed, precision, &Device::Cpu);
            for precision in [Precision::F32, Precision::Stored] {
                let what = format!("{dtype:?} at {at}, {precision:?}");
                match read(precision) {
                    Ok(_) => assert!(is_finite, "{what}"),
                    Err(error) => {
                        let text = error.to_string();
                        assert!(!is_finite, "{what}: {text}");
                        for needle in ["model.layers.1.mlp.up_proj.weight", "scales.gguf", "not finite"] {
                            assert!(text.contains(needle), "{what}: {text}");
                        }
                    }
                }
            }
        }
    }
}

/// Each weight is a number, and what they compute is none: no learning rate is at fault before the first update.
#[test]
fn a_model_that_overflows_stops_at_update_1_and_says_so() {
    let dir = copy_of(LLAMA);
    let mut all = tensors(LLAMA);
    all.insert("model.norm.weight".into(), Tensor::full(3e38f32, 64, &Device::Cpu).unwrap());
    save(dir.path(), &all);
    let decoder = Arc::new(load(dir.path(), Precision::F32).unwrap());
    let (model, temp) = (LoadedModel { decoder, ..model() }, tempfile::tempdir().unwrap());
    let data = dataset(&model, 12);
    let failed = run(&model, &data, &recipe(&[]), &temp.path().join("r"), false, |_, _| {});
    let error = failed.outcome.unwrap_err();
    assert!(matches!(*error.error, TrainError::NotFinite { what: "loss", update: 1, .. }), "{error}");
    let hint = Failure::from(error).hint;
    assert!(hint.contains("before anything is learnt") && !hint.contains("learning rate"), "{hint}");
}

fn sample_of(tokens: usize) -> Sample {
    Sample {
        ids: (0..tokens).map(|i| (i * 31 % 500) as u32).collect(),
        weights: LossWeights::all(1.0, tokens),
        ..Sample::default()
    }
}

/// One token predicts nothing and is passed over; the whole context is trained on and measured.
#[test]
fn the_shortest_and_the_longest_samples_are_trained_and_measured() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    for (place, tokens) in [(0, 1), (1, 2), (2, CONTEXT), (16, 1), (17, 2), (18, CONTEXT)] {
        data.samples[place] = sample_of(tokens);
    }
    for packing in ["true", "false"] {
        // One epoch is less than twenty micro-batches, so that each sample takes its turn.
        let packing_set = format!("batch.packing={packing}");
        let recipe = recipe(&[&packing_set, "length.updates=12"]);
        let done = run(&model, &data, &recipe, &temp.path().join(packing), false, |_, _| {});
        assert_eq!(done.outcome.unwrap(), Outcome::Done);
        assert!(losses(&done.events).iter().all(|(_, loss)| loss.is_finite()));
        assert!(validations(&done.events).iter().all(|(_, loss, _)| loss.is_finite()));
        let Some(RunEvent::Started { num_train, num_valid, .. }) =
            done.events.iter().find(|event| matches!(event, RunEvent::Started { .. }))
        else {
            panic!("{:?}", done.events)
        };
        assert_eq!((*num_train, *num_valid), (15, 3));
    }
}

#[test]
fn a_sample_beyond_the_context_is_refused_in_words() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let forward = |tokens| {
        let (tape, batch) = (Tape::inference(), Batch::pack([&sample_of(9), &sample_of(tokens)]));
        model.decoder.forward(&tape, &batch, &NoHooks).map(|_| ())
    };
    assert!(forward(CONTEXT).is_ok());
    let error = forward(CONTEXT + 1).unwrap_err();
    assert!(error.to_string().contains("257 tokens") && error.hint().contains("256"), "{error}");

    let mut data = dataset(&model, 20);
    data.samples[0] = sample_of(CONTEXT + 1);
    let failed =
        run(&model, &data, &recipe(&["length.updates=12"]), &temp.path().join("r"), false, |_, _| {});
    let failure = Failure::from(failed.outcome.unwrap_err());
    assert!(failure.detail.contains("257 tokens"), "{failure}");
}

#[test]
fn one_supervised_token_in_a_batch_has_a_loss_and_a_gradient() {
    let decoder = decoder(LLAMA);
    let mut samples = [sample_of(20), sample_of(9)];
    samples.iter_mut().for_each(|sample| sample.weights.set(0..sample.len(), 0.0));
    samples[0].weights.set(19..20, 1.0);
    let new = |method: &str| {
        let method = recipe(&[&format!("method.kind={method}")]).method;
        trainee::new_adapter(&method, &model(), 1).unwrap()
    };
    let of = |adapter: &Adapter, samples: &[Sample]| {
        let (loss, gradient) = loss_and_gradient_of(&Batch::pack(samples), &decoder, adapter, false);
        (loss, gradient.to_vec1::<f32>().unwrap())
    };
    for method in ["lora", "full"] {
        let adapter = new(method);
        let (loss, gradient) = of(&adapter, &samples);
        assert!(loss.is_finite() && loss > 0.0, "{loss}");
        assert!(gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|g| *g != 0.0), "{method}");
        // The sample without a supervised token adds nothing.
        let alone = of(&adapter, &samples[..1]);
        assert!((loss - alone.0).abs() < 1e-5, "{method}: {loss} {}", alone.0);
    }
}

/// They never reach the trainer by way of a file: the ledger has a line for each. Whatever comes, they are not counted as rows of the
/// run, and it says so.
#[test]
fn rows_without_a_supervised_token_are_passed_over_and_told() {
    let (model, temp) = (model(), tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    data.samples[2..5].iter_mut().for_each(|sample| sample.weights.set(0..sample.len(), 0.0));
    let done = run(&model, &data, &recipe(&[]), &temp.path().join("r"), false, |_, _| {});
    assert_eq!(done.outcome.unwrap(), Outcome::Done);
    assert!(done.events.iter().any(|e| matches!(e, RunEvent::Started { num_train: 13, .. })));
    let told = |event: &RunEvent| matches!(event, RunEvent::Notice { text } if text.starts_with("3 training rows without a token to learn from"));
    assert!(done.events.iter().any(told), "{:?}", done.events);
}

/// A device that is lost is an operation that fails in the middle of an update: here the embedding, of which the last rows are gone
/// and which the third micro-batch alone asks for.
#[test]
fn an_operation_that_fails_keeps_the_last_checkpoint_and_says_so() {
    let files = ModelFiles::open("faulty", &fixture(LLAMA)).unwrap();
    let (control, cpu) = (Control::new(), Device::Cpu);
    let (weights, f32) = (&files.weights, DType::F32);
    let mut params =
        DecoderParams::load(weights, &files.config, Precision::F32, &cpu, f32, &control, &mut Silent)
            .unwrap();
    let shorter = params.matrices[&Part::Embedding].widened(f32).unwrap().narrow(0, 0, 500).unwrap();
    params.matrices.insert(Part::Embedding, shorter.into());
    let decoder = Arc::new(Decoder::new(files.config.clone(), params, cpu).unwrap());
    let (model, temp) = (LoadedModel { decoder, ..model() }, tempfile::tempdir().unwrap());
    let mut data = dataset(&model, 20);
    data.samples.iter_mut().for_each(|sample| sample.ids.iter_mut().for_each(|id| *id %= 500));
    let recipe = recipe(&["batch.packing=false", "batch.accumulation=1"]);
    let lengths = data.split.train.iter().map(|i| data.samples[*i].len()).collect();
    let third = Loader::new(lengths, 32, false, recipe.run.seed).epoch(0)[2][0];
    data.samples[third].ids[3] = 505;
    let failed = run(&model, &data, &recipe, &temp.path().join("r"), false, |_, _| {});
    assert_eq!(failed.folder.checkpoints().last(), Some(&2));
    let error = failed.outcome.unwrap_err();
    assert!(matches!(*error.error, TrainError::Model(ModelError::Compute { .. })), "{error}");
    let failure = Failure::from(error);
    assert_eq!(failure.title, "The computation failed");
    assert!(failure.hint.contains("The checkpoint of update 2 is kept"), "{failure}");
    let Some(RunEvent::Failed { failure: told, update: 2 }) = failed.events.last() else {
        panic!("{:?}", failed.events.last())
    };
    assert_eq!(told, &failure);

    // The run goes on from it where the device is well again.
    data.samples[third].ids[3] = 5;
    let rest = run(&model, &data, &recipe, &temp.path().join("r"), true, |_, _| {});
    assert_eq!(rest.outcome.unwrap(), Outcome::Done);
    assert_eq!(losses(&rest.events).first().unwrap().0, 3);
}
