-- Claims, advances, steps that are put off and requests to models wait for the disk as well.
-- A server that dies forgets what did not, and the worker that it was told to lives on: the
-- claim would be given to another under the same attempt, which the fence cannot tell apart.
-- The name and the second parameter stay, since functions of earlier versions call it.
CREATE OR REPLACE FUNCTION name_workspaces(named uuid[], wait_for_disk boolean) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    told text;
BEGIN
    told := set_config('quaestor.workspaces', named::text, true);
    told := set_config('enable_seqscan', 'off', true);
    told := set_config('enable_hashjoin', 'off', true);
    told := set_config('enable_mergejoin', 'off', true);
END $$;
