//! Draws egui's triangles without a GPU or a display: the same bytes on every run.

use eframe::egui::{
    Color32, Context, FullOutput, TextureFilter, TextureId, TexturesDelta,
    epaint::{ImageData, Mesh, Primitive, Vertex},
};
/// egui's shader is `vertex colour * texel`, gamma space, premultiplied blend: a barycentric fill does it.
#[derive(Default)]
pub struct CpuRenderer(std::collections::HashMap<TextureId, Texture>);
struct Texture {
    w: usize,
    h: usize,
    px: Vec<Color32>,
    nearest: bool,
}
impl egui_kittest::TestRenderer for CpuRenderer {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        for (id, images) in delta.set.drain() {
            for d in images {
                let ImageData::Color(img) = &d.image;
                let [w, h] = img.size;
                if let Some([x0, y0]) = d.pos {
                    let t = self.0.get_mut(&id).expect("patch of an unknown texture");
                    for y in 0..h {
                        t.px[(y0 + y) * t.w + x0..][..w].copy_from_slice(&img.pixels[y * w..][..w]);
                    }
                } else {
                    let nearest = d.options.magnification == TextureFilter::Nearest;
                    self.0.insert(id, Texture { w, h, px: img.pixels.clone(), nearest });
                }
            }
        }
        for id in delta.free.drain() {
            self.0.remove(&id);
        }
    }
    fn render(&mut self, ctx: &Context, output: &FullOutput) -> Result<image::RgbaImage, String> {
        let ppp = ctx.pixels_per_point();
        let size = ctx.content_rect().size() * ppp;
        let (w, h) = (size.x.round() as usize, size.y.round() as usize);
        let mut out = vec![[0.0f32; 4]; w * h];
        for p in ctx.tessellate(output.shapes.clone(), ppp) {
            let r = p.clip_rect * ppp;
            let px = |v: f32, max: usize| (v.round().max(0.0) as usize).min(max);
            let clip = [px(r.min.x, w), px(r.min.y, h), px(r.max.x, w), px(r.max.y, h)];
            if let Primitive::Mesh(m) = &p.primitive {
                self.mesh(&mut out, w, ppp, clip, m);
            }
        }
        let raw = out.iter().flatten().map(|c| (c.clamp(0.0, 255.0) + 0.5) as u8).collect();
        image::RgbaImage::from_raw(w as u32, h as u32, raw).ok_or_else(|| "size".into())
    }
}
type P = [f64; 2];
fn edge(a: P, b: P, c: P) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}
fn top_left(a: P, b: P) -> bool {
    (a[1] == b[1] && b[0] > a[0]) || b[1] < a[1]
}
impl CpuRenderer {
    fn mesh(&self, out: &mut [[f32; 4]], width: usize, ppp: f32, clip: [usize; 4], mesh: &Mesh) {
        let Some(tex) = self.0.get(&mesh.texture_id) else { return };
        for tri in mesh.indices.chunks_exact(3) {
            let mut v: [Vertex; 3] = [0, 1, 2].map(|k| mesh.vertices[tri[k] as usize]);
            let pos = |v: Vertex| [f64::from(v.pos.x * ppp), f64::from(v.pos.y * ppp)];
            let area = edge(pos(v[0]), pos(v[1]), pos(v[2]));
            if area == 0.0 {
                continue;
            }
            if area < 0.0 {
                v.swap(1, 2);
            }
            let p = v.map(pos);
            let lo = |k: usize| p[0][k].min(p[1][k]).min(p[2][k]).floor().max(0.0) as usize;
            let hi = |k: usize| p[0][k].max(p[1][k]).max(p[2][k]).ceil().max(0.0) as usize;
            let col = v.map(|v| v.color.to_array().map(f32::from));
            let flat = (v[0].uv == v[1].uv && v[1].uv == v[2].uv).then(|| tex.sample(v[0].uv.x, v[0].uv.y));
            let solid = col[0] == col[1] && col[1] == col[2];
            for y in lo(1).max(clip[1])..hi(1).min(clip[3]) {
                for x in lo(0).max(clip[0])..hi(0).min(clip[2]) {
                    let c = [x as f64 + 0.5, y as f64 + 0.5];
                    let w = [edge(p[1], p[2], c), edge(p[2], p[0], c), edge(p[0], p[1], c)];
                    if !(0..3)
                        .all(|i| w[i] > 0.0 || (w[i] == 0.0 && top_left(p[(i + 1) % 3], p[(i + 2) % 3])))
                    {
                        continue;
                    }
                    let b = w.map(|w| (w / area.abs()) as f32);
                    let mix = |f: &dyn Fn(usize) -> f32| b[0] * f(0) + b[1] * f(1) + b[2] * f(2);
                    let t = flat.unwrap_or_else(|| tex.sample(mix(&|k| v[k].uv.x), mix(&|k| v[k].uv.y)));
                    let src = [0, 1, 2, 3]
                        .map(|i| if solid { col[0][i] } else { mix(&|k| col[k][i]) } * t[i] / 255.0);
                    let dst = &mut out[y * width + x];
                    for i in 0..4 {
                        dst[i] = src[i] + dst[i] * (1.0 - src[3] / 255.0);
                    }
                }
            }
        }
    }
}
impl Texture {
    fn at(&self, x: f32, y: f32) -> [f32; 4] {
        let (x, y) = (x.clamp(0.0, self.w as f32 - 1.0) as usize, y.clamp(0.0, self.h as f32 - 1.0) as usize);
        self.px[y * self.w + x].to_array().map(f32::from)
    }
    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let (x, y) = (u * self.w as f32, v * self.h as f32);
        if self.nearest {
            return self.at(x.floor(), y.floor());
        }
        let (x0, y0) = ((x - 0.5).floor(), (y - 0.5).floor());
        let (fx, fy) = (x - 0.5 - x0, y - 0.5 - y0);
        let [a, b, c, d] = [(0., 0.), (1., 0.), (0., 1.), (1., 1.)].map(|(i, j)| self.at(x0 + i, y0 + j));
        [0, 1, 2, 3].map(|i| (a[i] * (1. - fx) + b[i] * fx) * (1. - fy) + (c[i] * (1. - fx) + d[i] * fx) * fy)
    }
}
