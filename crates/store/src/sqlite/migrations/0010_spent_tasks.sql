-- `active`: 1 plans a fire; 2 is enabled and plans none, so that it is active as long as it has an open run; 0 neither.
UPDATE tasks SET active = 2 WHERE active = 1 AND next_fire IS NULL;
