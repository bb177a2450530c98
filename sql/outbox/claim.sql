-- Claim letters for sending: the last look and the change of state are one statement, so that an
-- opt-out, a revocation (PRV-06) or a suppression committed a moment ago wins. What the warehouse
-- said of these letters is handed in with the time of reading and counts for one minute only. A
-- suppressed address that was confirmed since is free again (PRV-23).
-- Parameters: letter_ids, recipients, reasons, consents (one each per letter; JSON: needed purpose to
-- the signing of its form; NULL = not known, and any revocation counts), verified (when each
-- address was confirmed), on_file (pseudonyms of the addresses that the warehouse has), purpose (the
-- campaign's), purpose_scope (`purpose:<it>`), claim, incarnation, warehouse_read_at,
-- now, cap_days, any_cap_days (the same for letters of other campaigns). Letters count that were claimed
-- before these patients were locked (claim_lock.sql), by whichever campaign.
WITH looked AS (
    SELECT
        l.letter_id,
        CASE
            WHEN l.expires_at <= CAST(:now AS timestamptz) THEN 'too_late'
            WHEN EXISTS (SELECT 1 FROM restriction x WHERE x.patient = l.patient) THEN 'restriction' -- PRV-22
            WHEN EXISTS (SELECT 1 FROM opt_out o WHERE o.patient = l.patient
                         AND (o.campaign IS NULL OR o.campaign = l.campaign
                              OR o.campaign = CAST(:purpose_scope AS text))) THEN 'opted_out'
            -- Of whom the warehouse denies, its own reason is told, and no form is known.
            WHEN known.reason IS NULL AND EXISTS (
                SELECT 1 FROM revocation r
                LEFT JOIN jsonb_each_text(CAST(known.consents AS jsonb)) AS form (purpose, signed_at)
                  ON r.purpose IS NULL OR r.purpose = form.purpose
                WHERE r.patient = l.patient
                  AND (known.consents IS NULL OR form.purpose IS NOT NULL)
                  AND (r.revoked_at < CAST(form.signed_at AS timestamptz)) IS NOT TRUE
            ) THEN 'authorization_revoked'
            -- The address that the patient asked for instead of the one on file (PRV-21).
            WHEN known.reason IS NULL AND known.recipient <> coalesce(
                (SELECT CASE WHEN split_part(wish.value, ':', 1) = known.on_file
                             THEN split_part(wish.value, ':', 2) END
                 FROM (SELECT p.value FROM preference p
                       WHERE p.patient = l.patient AND p.kind = 'address'
                       ORDER BY p.at DESC, p.received_at DESC LIMIT 1) AS wish),
                known.on_file) THEN 'address_changed'
            WHEN EXISTS (SELECT 1 FROM suppression s
                         WHERE s.recipient = known.recipient AND s.lifted_at IS NULL
                           AND (s.expires_at > CAST(:now AS timestamptz)) IS NOT FALSE
                           AND (CAST(known.verified_at AS timestamptz) > s.at) IS NOT TRUE)
                 THEN 'address_suppressed'
            WHEN EXISTS (SELECT 1 FROM suppression s
                         WHERE s.patient = l.patient AND s.purpose = :purpose AND s.lifted_at IS NULL
                           AND (s.expires_at > CAST(:now AS timestamptz)) IS NOT FALSE)
                 THEN 'complained'
            -- Whatever run composed them: never two letters within the cap, of this campaign or not.
            WHEN EXISTS (SELECT 1 FROM letter o
                         WHERE o.patient = l.patient
                           AND o.letter_id <> l.letter_id AND o.rehearsal IS NULL
                           AND o.state IN ('claimed', 'attempted', 'answered', 'sent', 'unknown')
                           AND abs(o.campaign_date - l.campaign_date) <
                               CASE WHEN o.campaign = l.campaign THEN CAST(:cap_days AS int)
                                    ELSE CAST(:any_cap_days AS int) END)
                 THEN 'frequency_cap'
            ELSE known.reason
        END AS reason
    FROM unnest(CAST(:letter_ids AS uuid[]), CAST(:recipients AS text[]), CAST(:reasons AS text[]),
                CAST(:consents AS text[]), CAST(:verified AS text[]), CAST(:on_file AS text[]))
        AS known (letter_id, recipient, reason, consents, verified_at, on_file)
    JOIN letter l ON l.letter_id = known.letter_id
    WHERE l.state IN ('composed', 'deferred')
      AND l.rehearsal IS NULL
      AND l.checked_at IS NOT NULL
      AND CAST(:warehouse_read_at AS timestamptz) > clock_timestamp() - INTERVAL '1 minute'
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE letter
SET state = CASE WHEN looked.reason IS NULL THEN 'claimed' ELSE 'withheld' END,
    reason = looked.reason,
    claim = CAST(:claim AS uuid),
    claimed_at = clock_timestamp(),
    incarnation = CAST(:incarnation AS uuid),
    outcome = NULL,
    evidence = NULL,  -- of an earlier try; what protected that one is in its own record
    final_reply = NULL,
    settled_at = CASE WHEN looked.reason IS NOT NULL THEN clock_timestamp() END
FROM looked
WHERE letter.letter_id = looked.letter_id
RETURNING letter.letter_id, letter.state
