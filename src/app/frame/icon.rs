//! The window's icon, drawn in code: a rising curve on the accent.

use eframe::egui::IconData;

const SIZE: u32 = 64;

/// 64 x 64 pixels, not premultiplied.
pub fn window_icon() -> IconData {
    let mut rgba = Vec::with_capacity((SIZE * SIZE * 4) as usize);
    for y in 0..SIZE {
        for x in 0..SIZE {
            rgba.extend_from_slice(&pixel(x as f32 + 0.5, y as f32 + 0.5));
        }
    }
    IconData { rgba, width: SIZE, height: SIZE }
}

fn pixel(x: f32, y: f32) -> [u8; 4] {
    let size = SIZE as f32;
    // A rounded square.
    let radius = 14.0;
    let outside = |v: f32| (radius - v).max(v - (size - radius)).max(0.0);
    let alpha = (radius + 0.5 - outside(x).hypot(outside(y))).clamp(0.0, 1.0);
    // A loss that falls: the curve of exp.
    let curve = 14.0 + 34.0 * (1.0 - (-(x - 10.0) / 14.0).exp()).max(-0.2);
    let slope = 34.0 / 14.0 * (-(x - 10.0) / 14.0).exp();
    let distance = (y - curve).abs() / (1.0 + slope * slope).sqrt();
    let ink = if (10.0..54.0).contains(&x) { (4.0 - distance).clamp(0.0, 1.0) } else { 0.0 };
    let mix = |from: f32, to: f32| (from + (to - from) * ink) as u8;
    [mix(11.0, 255.0), mix(110.0, 255.0), mix(127.0, 255.0), (alpha * 255.0) as u8]
}
