-- A run says itself which of its attempts were ended by their workers.
DROP TABLE lapses;
