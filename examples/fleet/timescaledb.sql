-- Before the first start of the collector, in an empty database: hops as a hypertable of TimescaleDB.
-- The collector uses the table as it finds it, and then makes no partitions of its own.
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE TABLE hops (
    session_id BIGINT NOT NULL,
    end_us BIGINT NOT NULL,
    "time" TIMESTAMPTZ NOT NULL,
    start_us BIGINT NOT NULL,
    synced BOOLEAN NOT NULL,
    layout_id BIGINT,
    quality REAL,
    flags TEXT,
    rate_bpm REAL,
    reason TEXT,
    lost BIGINT NOT NULL,
    latency_ms REAL,
    windows INTEGER,
    value REAL[],
    low REAL[],
    high REAL[],
    flag BOOLEAN[],
    applied TEXT,
    PRIMARY KEY (session_id, end_us, "time")
);
SELECT create_hypertable('hops', 'time', chunk_time_interval => INTERVAL '1 day');
