with

flights as (

    select * from {{ ref('stg_flight_operations__flights') }}

),

airports as (

    select * from {{ ref('stg_flight_operations__airports') }}

),

aircraft as (

    select * from {{ ref('stg_flight_operations__aircraft') }}

),

registered_aircraft as (

    select distinct tail_number from aircraft

),

described as (

    select
        flights.*,
        origins.time_zone as origin_time_zone,
        destinations.time_zone as destination_time_zone,
        destinations.airport_code is not null as is_destination_known,
        registered_aircraft.tail_number is not null as is_aircraft_registered,
        flights.flight_date + {{ clock_interval('flights.scheduled_departure_clock') }} as departure_reading
    from flights
    left join airports as origins on flights.origin_code = origins.airport_code
    left join airports as destinations on flights.destination_code = destinations.airport_code
    left join registered_aircraft on flights.tail_number = registered_aircraft.tail_number

),

-- `offset 0`, here and below, keeps PostgreSQL from merging the steps into one expression, in which each
-- conversion would be repeated hundreds of times: 28 s a year of flights instead of 2.
-- noqa: disable=AM09
departure_readings as (

    select
        *,
        departure_reading at time zone origin_time_zone as late_departure_at
    from described
    offset 0

),

-- `at time zone` takes a repeated hour for its second pass; the hour that the source gives in UTC tells the two
-- apart. Where the origin's zone is unknown that hour alone places the clock.
departures as (

    select
        *,
        case
            when origin_time_zone is null
                then scheduled_hour_at + make_interval(mins => scheduled_departure_clock % 100)
            when
                scheduled_hour_at < date_trunc('hour', late_departure_at, 'UTC')
                and (late_departure_at - interval '1 hour') at time zone origin_time_zone = departure_reading
                then late_departure_at - interval '1 hour'
            else late_departure_at
        end as scheduled_departure_at
    from departure_readings
    offset 0

),

-- The clock of an arrival has no date: it is read on the destination's date of departure, and on the day after
-- where that is not after the departure.
same_day_readings as (

    select
        *,
        date_trunc('day', scheduled_departure_at at time zone destination_time_zone)
        + {{ clock_interval('scheduled_arrival_clock') }} as same_day_reading
    from departures
    offset 0

),

arrival_readings as (

    select
        *,
        case
            when same_day_reading at time zone destination_time_zone > scheduled_departure_at then same_day_reading
            else same_day_reading + interval '1 day'
        end as arrival_reading
    from same_day_readings
    offset 0

),

late_arrivals as (

    select
        *,
        arrival_reading at time zone destination_time_zone as late_arrival_at
    from arrival_readings
    offset 0

),

-- Of the two passes of a repeated hour, the first one after the departure.
arrivals as (

    select
        *,
        case
            when
                late_arrival_at - interval '1 hour' > scheduled_departure_at
                and (late_arrival_at - interval '1 hour') at time zone destination_time_zone = arrival_reading
                then late_arrival_at - interval '1 hour'
            else late_arrival_at
        end as scheduled_arrival_at
    from late_arrivals
    offset 0

),

outcomes as (

    select
        *,
        scheduled_departure_at + make_interval(mins => departure_delay_minutes) as departed_at,
        scheduled_arrival_at + make_interval(mins => arrival_delay_minutes) as arrived_at,
        case
            when arrival_delay_minutes is not null then 'completed'
            when departure_clock is null then 'cancelled'
            else 'diverted'
        end as status
    from arrivals

),

final as (

    select
        flight_date,
        carrier_code,
        flight_number,
        origin_code,
        destination_code,
        is_aircraft_registered,
        is_destination_known,

        scheduled_departure_at,
        scheduled_arrival_at,
        departed_at,
        arrived_at,

        departure_delay_minutes,
        arrival_delay_minutes,
        air_time_minutes,
        distance_miles,
        status,

        coalesce(tail_number, 'UNKNOWN') as tail_number,
        (scheduled_arrival_at at time zone destination_time_zone)::date as scheduled_arrival_date,
        (arrived_at at time zone destination_time_zone)::date as arrival_date,

        status = 'completed' as is_completed,
        status = 'cancelled' as is_cancelled,
        status = 'diverted' as is_diverted,
        status = 'completed' and coalesce(departure_delay_minutes < 15, false) as is_on_time_departure,
        status = 'completed' and arrival_delay_minutes < 15 as is_on_time_arrival
    from outcomes

)

select * from final
