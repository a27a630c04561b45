//! From the settings file to what each part takes.

use std::time::Duration;

use super::Secrets;
use crate::{
    auth::{JwksSettings, VerifierSettings},
    db::PoolLimits,
    http::HttpSettings,
    plugin::{BreakerLimits, Limits},
    service::{
        EventSettings, GuestSettings, NotifySettings, ReceiptSettings, ReviewSettings,
        SecretSettings, ServiceSettings, WriterLimits,
    },
    settings::Settings,
    socket::SocketSettings,
};

pub(super) fn pool(settings: &Settings) -> PoolLimits {
    let database = &settings.database;
    PoolLimits {
        connections: database.connections,
        connections_per_org: database.connections_per_org.max(1),
        connections_for_plugins: database.connections_for_plugins.max(1),
        connections_for_plugins_per_org: database.connections_for_plugins_per_org.max(1),
        acquire: database.acquire,
        statement: database.statement,
    }
}

pub(super) fn services(settings: &Settings, secrets: &Secrets) -> ServiceSettings {
    let tokens = &settings.tokens;
    let review = &settings.review;
    let notifications = &settings.notifications;
    ServiceSettings {
        notifying: NotifySettings {
            interval: notifications.interval,
            lease: notifications.lease,
            attempts: notifications.attempts.max(1),
            at_once: notifications.at_once.max(1),
            at_once_per_org: notifications.at_once_per_org.max(1),
        },
        review: ReviewSettings {
            interval: review.interval,
            ask_again: review.ask_again,
            ask_again_most: review.ask_again_most,
            refusals_queue: review.refusals_queue,
        },
        receipts: ReceiptSettings {
            queue: settings.receipts.queue,
            queue_bytes: settings.receipts.queue_bytes,
            per_message: settings.receipts.per_message,
            gather: settings.receipts.gather,
            patience: settings.receipts.read_wait,
        },
        org_defaults: settings.org.clone(),
        verifier: VerifierSettings {
            exp_leeway: Duration::ZERO,
            clock_skew: tokens.clock_skew,
            max_token_bytes: tokens.max_bytes,
            jwks: JwksSettings {
                max_age: tokens.jwks_max_age,
                max_stale: tokens.jwks_max_stale,
                min_interval: tokens.jwks_interval,
                timeout: tokens.jwks_timeout,
                max_bytes: tokens.jwks_max_bytes,
                ..JwksSettings::default()
            },
        },
        writer: WriterLimits {
            queue: settings.writer.queue,
            batch: settings.writer.batch,
            patience: settings.writer.patience,
        },
        presence_grace: settings.presence.grace,
        guests: guests(settings, secrets),
        events: events(settings),
        stages: settings.stages.clone(),
    }
}

pub(super) fn events(settings: &Settings) -> EventSettings {
    let events = &settings.events;
    EventSettings {
        poll: events.poll,
        at_once: events.at_once.max(1),
        at_once_per_org: events.at_once_per_org.max(1),
        lease: events.lease.max(settings.plugins.event * 2),
        attempts: events.attempts.max(1),
        retry: events.retry,
        retry_most: events.retry_most,
        waiting_per_org: events.waiting_per_org,
        sampled_burst: events.sampled_burst,
        sampled_per_second: events.sampled_per_second,
        sampled_queue: events.sampled_queue,
        messages_per_call: events.messages_per_call,
        most_depth: events.most_depth,
    }
}

pub(super) fn guests(settings: &Settings, secrets: &Secrets) -> GuestSettings {
    GuestSettings {
        kv: settings.kv,
        outgoing: settings.outgoing.clone(),
        secrets: SecretSettings {
            key: secrets.secrets_key.clone(),
            key_file: settings.secrets.key_file.clone(),
            kept_in: secrets.data_directory.as_ref().map(|data| data.join("secrets.key")),
            max_value_bytes: settings.secrets.max_value_bytes,
            max_per_plugin: settings.secrets.max_per_plugin,
        },
    }
}

pub(super) fn http(settings: &Settings, secrets: &Secrets) -> HttpSettings {
    HttpSettings {
        max_body_bytes: settings.http.max_body_bytes,
        max_plugin_bytes: settings.plugins.max_upload_bytes,
        patience: settings.http.patience,
        operator_token: secrets.operator_token.clone(),
    }
}

pub(super) fn sockets(settings: &Settings) -> SocketSettings {
    SocketSettings {
        max_queued_bytes: settings.sockets.max_queued_bytes,
        patience: settings.http.patience,
        presence_pause: settings.presence.pause,
        // More at once than a socket's buffer takes would be lost.
        presence_at_once: settings.presence.at_once.min(settings.sockets.buffer_packets / 2),
    }
}

pub(super) fn plugins(settings: &Settings) -> Limits {
    let plugins = &settings.plugins;
    Limits {
        call_timeout: plugins.call,
        call_cpu: plugins.call_cpu,
        chain_timeout: plugins.chain,
        http_call_timeout: plugins.http_call,
        http_chain_timeout: plugins.http_chain,
        event_timeout: plugins.event,
        notify_timeout: plugins.notify,
        memory_bytes: plugins.memory_bytes,
        table_elements: plugins.table_elements,
        handed_over_bytes: plugins.handed_over_bytes,
        log_lines: plugins.log_lines,
        log_line_bytes: plugins.log_line_bytes,
        log_kept_lines: plugins.log_kept_lines,
        log_kept_bytes: plugins.log_kept_bytes,
        host_calls: plugins.host_calls,
        open_secrets: plugins.open_secrets,
        tape_bytes: plugins.tape_bytes,
        breaker: BreakerLimits {
            senders: plugins.breaker_senders.max(1),
            rollback_senders: plugins.rollback_senders.max(1),
            window: plugins.breaker_window,
            percent: plugins.breaker_percent,
            pause: plugins.breaker_pause,
            max_pause: plugins.breaker_max_pause.max(plugins.breaker_pause),
        },
        instances: plugins.instances,
        instances_per_org: plugins.instances_per_org,
        wait_for_instance: plugins.wait,
        upload_bytes: plugins.max_upload_bytes,
        compile_wall: plugins.compile,
        compile_cpu_seconds: plugins.compile_cpu.as_secs().max(1),
        compile_memory_bytes: plugins.compile_memory_bytes,
    }
}
