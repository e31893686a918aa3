//! How fast a route is decided: each call, each repeated webhook and each explanation costs one decision.

use std::hint::black_box;

use criterion::Criterion;
use voice_saas_core::{call::decide, store::Route, testing::fixtures};

fn typical() -> Route {
    fixtures::route("Acme", "Receptionist")
}

fn fifty_inactive_agents_first() -> Route {
    let mut route = typical();
    let mut idle = route.agents[0].clone();
    idle.active = false;
    route.agents.splice(0..0, std::iter::repeat_n(idle, 50));
    route
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for (name, route) in [
        ("typical", typical()),
        ("fifty_inactive_agents_first", fifty_inactive_agents_first()),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| decide(black_box(&route))));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decisions(&mut criterion);
    criterion.final_summary();
}
