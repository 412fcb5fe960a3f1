//! Measures CPU time per passage.
use std::path::Path;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let _ = s;
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) * 10.0
}
fn main() {
    let home = std::env::var("HOME").unwrap();
    let texts: Vec<String> = serde_json::from_str(
        &std::fs::read_to_string(format!("{home}/embref/texts.json")).unwrap(),
    )
    .unwrap();
    let reference: Vec<Vec<f32>> =
        serde_json::from_str(&std::fs::read_to_string(format!("{home}/embref/ref.json")).unwrap())
            .unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    let folder = quaestor_bert::Folder::open(Path::new(&format!(
        "{home}/.cache/quaestor/models/all-MiniLM-L6-v2"
    )))
    .unwrap();
    let t = cpu();
    let model = quaestor_bert::Model::load(&folder, 256).unwrap();
    println!("load {} ms", cpu() - t);
    let got = model.embed(&texts[..20]).unwrap();
    let worst = got
        .iter()
        .zip(&reference)
        .map(|(a, b)| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>())
        .fold(1.0, f32::min);
    println!("worst cosine {worst}");
    let mut per = vec![];
    for part in texts.chunks(50) {
        let t = cpu();
        for group in part.chunks(8) {
            model.embed(group).unwrap();
        }
        per.push((cpu() - t) / part.len() as f64);
    }
    per.sort_by(f64::total_cmp);
    println!("median cpu ms per passage {} of {per:?}", per[per.len() / 2]);
    let q = "What was the total revenue of the company in fiscal year 2019 compared with the year before it, in thousands?";
    model.embed(&[q]).unwrap();
    let t = cpu();
    for _ in 0..100 {
        model.embed(&[q]).unwrap();
    }
    println!("query cpu ms {}", (cpu() - t) / 100.0);
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmRSS")
                || l.starts_with("VmHWM")
                || l.starts_with("RssAnon"))
            .collect::<Vec<_>>()
            .join(" ")
    );
}
