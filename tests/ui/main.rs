//! Tests of the window without a display: real panels, a fake engine, pixels from a renderer of our own.

mod cpu_renderer;
mod stage;
mod actors;
mod comparisons;
mod frame;
mod forgetting;
mod frames;
mod keep;
mod pace;
mod places;
mod playground;
mod reading;
mod results;
mod runs;
mod screenshots;
mod methods;
mod mixes;
mod objectives;
mod train;
