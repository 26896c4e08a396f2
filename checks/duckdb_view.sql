CREATE OR REPLACE VIEW tags AS
SELECT * FROM read_parquet('tagus-data/tags.parquet');

CREATE OR REPLACE VIEW samples AS
WITH newest AS (
    SELECT *, regexp_extract(filename, '-(\d+)-\d+\.parquet$', 1)::BIGINT AS sequence
    FROM read_parquet('tagus-data/segments/*.parquet', union_by_name = true, filename = true)
    QUALIFY row_number() OVER (PARTITION BY tag_id, time, time_ns ORDER BY filename DESC) = 1
), live AS (
    SELECT * FROM newest
    ANTI JOIN read_parquet('tagus-data/deletes.parquet') AS deletes
        ON tag_id BETWEEN first_tag_id AND last_tag_id
        AND epoch_ms(time) * 1000000 + time_ns BETWEEN from_ns AND to_ns
        AND newest.sequence < deletes.sequence
), states AS (
    SELECT
        tag_id,
        try_cast(split_part(state, '=', 1) AS BIGINT) AS code,
        regexp_replace(substr(state, strpos(state, '=') + 1), '\\(.)', '\1', 'g') AS name
    FROM (SELECT tag_id, unnest(regexp_extract_all(states, '(?:[^,\\]|\\.)+')) AS state FROM tags)
)
SELECT
    tags.tag,
    make_timestamp_ns(epoch_ms(time) * 1000000 + time_ns) AS time,
    coalesce(value, mantissa / pow(10, scale)) AS value,
    CASE
        WHEN text IS NULL AND type = 'int64' AND mantissa NOT BETWEEN -9007199254740992 AND 9007199254740992
        THEN mantissa::VARCHAR
        ELSE coalesce(text, states.name)
    END AS text,
    CASE status >> 30 WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS quality,
    status
FROM live
JOIN tags USING (tag_id)
LEFT JOIN states ON states.tag_id = live.tag_id AND states.code = live.mantissa;
