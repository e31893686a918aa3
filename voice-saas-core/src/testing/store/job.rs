//! Jobs: how they are enqueued, listed and forgotten.

use futures_util::future::join_all;
use serde_json::json;

use super::world::{Must, World, at, refused, walk};
use crate::{
    id::JobId,
    job::{Job, JobState, NewJob},
    page::PageRequest,
    scope::TenantScope,
    store::{Store, StoreErrorKind},
};

/// A job that is due at `second`.
pub(super) fn new_job(world: &World<'_>, second: i64) -> NewJob {
    NewJob::new(
        JobId::generate(world.ids()),
        "dial",
        json!({ "call": [1, 2] }),
        at(second),
    )
}

/// Enqueues the job for the tenant, or for the platform.
pub(super) async fn enqueue(world: &World<'_>, scope: Option<&TenantScope>, job: &NewJob, now: i64) -> bool {
    let enqueued;
    match scope {
        Some(scope) => {
            let mut tx = world.begin(scope).await;
            enqueued = tx.jobs().enqueue(job, at(now)).await.must();
            tx.commit().await.must();
        }
        None => {
            let mut tx = world.system().await;
            enqueued = tx.job_queue().enqueue_system(job, at(now)).await.must();
            tx.commit().await.must();
        }
    }
    enqueued
}

/// Claims the job until a minute after it was enqueued.
pub(super) async fn claim(world: &World<'_>, id: JobId) -> Job {
    let mut tx = world.system().await;
    let job = tx
        .job_queue()
        .claim_one(id, at(60))
        .await
        .must()
        .expect("nobody else has it");
    tx.commit().await.must();
    job
}

/// The job as it lies in the store.
pub(super) async fn find(world: &World<'_>, id: JobId) -> Job {
    world.system().await.job_queue().job(id).await.must()
}

pub async fn a_job_exists_once_its_unit_of_work_is_committed(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let job = new_job(&world, 5).with_max_attempts(3);
    let mut tx = world.begin(&scope).await;
    assert!(tx.jobs().enqueue(&job, at(1)).await.must());
    drop(tx);
    assert_eq!(
        refused(world.system().await.job_queue().job(job.id).await),
        StoreErrorKind::NotFound
    );

    assert!(enqueue(&world, Some(&scope), &job, 1).await);
    assert_eq!(
        find(&world, job.id).await,
        Job::ready(job, Some(scope.tenant_id()), at(1))
    );
    let own = new_job(&world, 5);
    assert!(enqueue(&world, None, &own, 2).await);
    assert_eq!(find(&world, own.id).await, Job::ready(own, None, at(2)));
}

pub async fn an_unfinished_jobs_unique_key_is_enqueued_once(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let keyed = || new_job(&world, 0).with_unique_key("sweep");
    let first = keyed();
    // Each tenant's keys are its own, and so are the platform's.
    assert!(enqueue(&world, Some(&acme), &first, 0).await);
    assert!(enqueue(&world, Some(&globex), &keyed(), 0).await);
    assert!(enqueue(&world, None, &keyed(), 0).await);
    for scope in [Some(&acme), Some(&globex), None] {
        assert!(!enqueue(&world, scope, &keyed(), 0).await);
    }
    claim(&world, first.id).await;
    assert!(!enqueue(&world, Some(&acme), &keyed(), 0).await);
    for _ in 0..2 {
        assert!(enqueue(&world, Some(&acme), &new_job(&world, 0), 0).await);
    }
}

pub async fn of_many_who_enqueue_a_unique_key_at_once_one_does(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let enqueued = join_all((0..8).map(|_| {
        let (world, scope, job) = (&world, &scope, new_job(&world, 0).with_unique_key("sweep"));
        async move { enqueue(world, Some(scope), &job, 0).await }
    }))
    .await;
    assert_eq!(enqueued.iter().filter(|enqueued| **enqueued).count(), 1);
}

pub async fn a_finished_or_dead_jobs_unique_key_is_free_again(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let jobs = [(); 3].map(|()| new_job(&world, 0).with_unique_key("sweep"));
    for (index, job) in jobs.iter().enumerate() {
        assert!(enqueue(&world, Some(&scope), job, 0).await);
        let claimed = claim(&world, job.id).await;
        let mut tx = world.system().await;
        if index == 0 {
            assert!(tx.job_queue().finish(job.id, claimed.fence, at(1)).await.must());
        } else {
            assert!(tx.job_queue().bury(job.id, claimed.fence, "no").await.must());
        }
        tx.commit().await.must();
    }
}

pub async fn jobs_are_listed_newest_first_by_state(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let jobs = [(); 3].map(|()| new_job(&world, 0));
    for (second, job) in (0..).zip(&jobs) {
        assert!(enqueue(&world, Some(&scope), job, second).await);
    }
    claim(&world, jobs[1].id).await;
    for (state, expected) in [
        (None, &[2, 1, 0][..]),
        (Some(JobState::Ready), &[2, 0]),
        (Some(JobState::Leased), &[1]),
        (Some(JobState::Dead), &[]),
        (Some(JobState::Finished), &[]),
    ] {
        let page = world
            .system()
            .await
            .job_queue()
            .jobs(state, PageRequest::default())
            .await
            .must();
        let expected: Vec<_> = expected.iter().map(|index: &usize| jobs[*index].id).collect();
        assert_eq!(
            page.data.iter().map(|job| job.id).collect::<Vec<_>>(),
            expected,
            "{state:?}"
        );
    }
}

pub async fn pages_of_jobs_hold_each_job_once(store: &dyn Store) {
    let world = World::new(store);
    let mut expected = Vec::new();
    for count in 0..5 {
        let job = new_job(&world, 0);
        assert!(enqueue(&world, None, &job, count / 2).await);
        expected.insert(0, job.id);
    }
    for state in [None, Some(JobState::Ready)] {
        let mut tx = world.system().await;
        let jobs = walk!(page => tx.job_queue().jobs(state, page).await.must());
        assert_eq!(jobs.into_iter().map(|job| job.id).collect::<Vec<_>>(), expected);
    }
}

pub async fn the_next_due_time_is_that_of_the_earliest_ready_job(store: &dyn Store) {
    let world = World::new(store);
    assert_eq!(world.system().await.job_queue().next_due().await.must(), None);
    let jobs = [30, 10, 20].map(|second| new_job(&world, second));
    for job in &jobs {
        assert!(enqueue(&world, None, job, 0).await);
    }
    assert_eq!(
        world.system().await.job_queue().next_due().await.must(),
        Some(at(10))
    );
    claim(&world, jobs[1].id).await;
    assert_eq!(
        world.system().await.job_queue().next_due().await.must(),
        Some(at(20))
    );
}

pub async fn finished_jobs_are_forgotten_and_others_are_not(store: &dyn Store) {
    let world = World::new(store);
    let jobs = [(); 4].map(|()| new_job(&world, 0));
    for job in &jobs {
        assert!(enqueue(&world, None, job, 0).await);
    }
    for (job, finished_at) in [(&jobs[0], 5), (&jobs[1], 10)] {
        let fence = claim(&world, job.id).await.fence;
        let mut tx = world.system().await;
        assert!(tx.job_queue().finish(job.id, fence, at(finished_at)).await.must());
        tx.commit().await.must();
    }
    claim(&world, jobs[2].id).await;
    let mut tx = world.system().await;
    assert_eq!(tx.job_queue().prune(at(10)).await.must(), 1);
    let left = tx
        .job_queue()
        .jobs(None, PageRequest::default())
        .await
        .must()
        .data;
    assert_eq!(
        left.iter().map(|job| job.id).collect::<Vec<_>>(),
        [jobs[3].id, jobs[2].id, jobs[1].id]
    );
}
