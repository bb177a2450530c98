-- Draws of the generated warehouse: the same at every run, of nothing but a number and a purpose.
-- `share` is uniform on [0, 1); `key` looks like the UUID that a clinic's system would give.
CREATE SCHEMA source;
CREATE FUNCTION source.share(number bigint, purpose bigint) RETURNS double precision
IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT (hashint8extended(number, purpose) & 1073741823) / 1073741824.0::double precision
$$;
CREATE FUNCTION source.key(kind text, number bigint) RETURNS text
IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT CAST(CAST(md5(kind || number) AS uuid) AS text)
$$
